-- Brings what is due to its queue, each in one step: nobody else has taken it meanwhile, and it is never nowhere.
-- ask.jobs: { set, as it stands there, queue or false for one that cannot be read, as it goes into the list } each.

local count = 0
for _, job in ipairs(ask.jobs) do
  if call('ZREM', wire .. job[1], job[2]) == 1 then
    count = count + 1
    if job[3] then
      call('SADD', QUEUES, job[3])
      call('LPUSH', queueKey(job[3]), job[4])
      tell('q:' .. job[3])
    else
      bury('dead', job[2])
    end
  end
end
return answer(count)
