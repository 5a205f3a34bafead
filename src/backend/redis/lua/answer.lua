-- Who is told, and the end of a script.

local heard
onStart(function() heard = {} end)

local function wake(q) heard['q:' .. q.name] = true end
local function news() heard['news'] = true end

-- Records an event if the queue records any. `text` may be nil.
local function tell(job, kind, text, attempt)
  local q = job.queue
  local keep = q.settings.events or 0
  if keep == 0 then return end
  local number = call('INCR', prefix .. 'event')
  local event = { number = number, at = now, queue = q.name, name = job.name, ref = refOf(job), kind = kind,
    attempt = attempt or job.attempt, text = text, stamp = stampOf() }
  call('ZADD', prefix .. 'events', number, pad(number) .. cmsgpack.pack(event))
  local line = prefix .. 'told:' .. q.no
  local extent = call('RPUSH', line, number)
  while extent > keep do
    local oldest = call('LPOP', line)
    call('ZREMRANGEBYSCORE', prefix .. 'events', oldest, oldest)
    extent = extent - 1
  end
  news()
end

-- The last words of a script: writes what was only noted, tells who listens, and packs the answer.
-- `kept`: what to answer a repeat with, if that is not the answer itself.
local function answer(value, kept)
  for _, write in ipairs(ends) do write() end
  saveQueues()
  saveStatuses()
  saveRemoved()
  saveStamp()
  for channel in pairs(heard) do call('PUBLISH', (ask.channels or prefix) .. channel, ask.by or '-') end
  local packed = cmsgpack.pack(value)
  if answers then
    call('HSET', answers, ask.turn % 64, struct.pack('>d', ask.turn) .. (kept or packed))
    call('PEXPIRE', answers, 300000)
  end
  return packed
end
