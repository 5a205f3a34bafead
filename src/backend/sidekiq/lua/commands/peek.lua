-- Which of ask.queues have something to give, also from those who do not tell: jobs of peers.

local found = {}
local isDue = false
for _, set in ipairs({ 'schedule', 'retry' }) do
  isDue = isDue or #call('ZRANGEBYSCORE', wire .. set, '-inf', seconds(now), 'LIMIT', 0, 1) > 0
end
for _, queue in ipairs(ask.queues) do
  if isDue or (call('EXISTS', queueKey(queue)) == 1 and call('SISMEMBER', wire .. 'paused', queue) == 0) then
    found[#found + 1] = queue
  end
end
return answer(found)
