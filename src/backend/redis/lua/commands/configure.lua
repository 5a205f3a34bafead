-- Writes the settings of ask.queue if they are still ask.before (or false): ask.after. ask.isOtherLine: keys may stand in line
-- with other jobs now. The answer: whether it was done.

local q = queueOf(ask.queue)
local before = call('HGET', prefix .. 'q:' .. q.no, 'settings')
if before ~= ask.before then return answer(false) end
call('HSET', prefix .. 'q:' .. q.no, 'settings', ask.after)
q.settings = cmsgpack.unpack(ask.after)
if ask.isOtherLine then keys.configure(q) end

local line = prefix .. 'told:' .. q.no
for _ = 1, call('LLEN', line) - q.settings.events do
  local oldest = call('LPOP', line)
  call('ZREMRANGEBYSCORE', prefix .. 'events', oldest, oldest)
end
wake(q)
return answer(true)
