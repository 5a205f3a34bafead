-- Takes jobs from where they stand and puts them elsewhere, each in one step. ask.place and ask.queue as of look; ask.from and
-- ask.to: where in the list they were seen. ask.jobs: { as it stands there, kind, … } each:
--
--   gone    queue: name, job    schedule: score, job    dead: job    cancelled: job
--
-- The answer: '1' for those that were there still.

local SLACK = 1000

local results = {}
local take

if ask.place == 'queue' then
  -- Jobs that were seen stand where they stood, or nearer to the end: others have been taken since.
  local list = queueKey(ask.queue)
  local first = math.max(0, ask.from - SLACK)
  local size = call('LLEN', list)
  local last = math.min(ask.to, size - 1)
  local places = {}
  local window = last >= first and call('LRANGE', list, -last - 1, -first - 1) or {}
  for i, job in ipairs(window) do places[job] = i - 1 - last - 1 end
  take = function(job)
    local place = places[job]
    if not place then return false end
    places[job] = nil
    call('LSET', list, place, own .. 'gone')
    return true
  end
else
  local set = setKey(ask.place)
  take = function(job) return call('ZREM', set, job) == 1 end
end

for i, job in ipairs(ask.jobs) do
  local isThere = take(job[1])
  results[i] = isThere and '1' or '0'
  if isThere then
    if job[2] == 'queue' then
      call('SADD', QUEUES, job[3])
      call('LPUSH', queueKey(job[3]), job[4])
      tell('q:' .. job[3])
    elseif job[2] == 'schedule' then
      call('ZADD', wire .. 'schedule', job[3], job[4])
    elseif job[2] ~= 'gone' then
      bury(job[2], job[3])
    end
  end
end
if ask.place == 'queue' then call('LREM', queueKey(ask.queue), 0, own .. 'gone') end
return answer(table.concat(results))
