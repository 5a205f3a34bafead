-- What puts the jobs and events of several shards in order: µs of the real clock, going up within the shard and beyond all that
-- the asking process has seen (ask.seen). Absent where there is only one shard, which needs none of this.

local stamp, lastStamp
onStart(function() stamp, lastStamp = nil, nil end)

-- The stamp of what happens now. With `given` that is it: a call of several shards has its stamps from one of them.
local function stampOf(given)
  if not ask.seen then return nil end
  lastStamp = lastStamp or tonumber(call('GET', prefix .. 'stamp') or 0)
  if given then
    stamp = given
  elseif not stamp then
    local time = call('TIME')
    stamp = math.max(time[1] * 1000000 + time[2], lastStamp + 1, ask.seen + 1)
  end
  return stamp
end

-- The first of `count` stamps that nobody else gets here.
local function reserveStamps(count)
  local first = stampOf() + 1
  stamp = first + count
  return first
end

local function saveStamp()
  if stamp and stamp > lastStamp then call('SET', prefix .. 'stamp', text(stamp)) end
end
