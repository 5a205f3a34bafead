-- What puts the jobs and events of several shards in order: µs of the real clock, going up within the shard and beyond all that
-- the asking process has seen (ask.after). Absent where there is only one shard, which needs none of this.

local stamp

-- The stamp of what happens now. With `least` that counts instead of the clock: a call of several shards has it from one of them.
local function stampOf(least)
  if not ask.after then return nil end
  if not stamp then
    local last = tonumber(call('GET', prefix .. 'stamp') or 0)
    if least then
      stamp = math.max(least, last + 1)
    else
      local time = call('TIME')
      stamp = math.max(time[1] * 1000000 + time[2], last + 1, ask.after + 1)
    end
  elseif least and least > stamp then
    stamp = least
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
  if stamp then call('SET', prefix .. 'stamp', text(stamp)) end
end
