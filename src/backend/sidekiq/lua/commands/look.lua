-- Jobs at a place, the one that is next there first: ask.place ('queue', 'schedule', 'retry', 'dead', 'cancelled', 'held'), ask.queue,
-- ask.from, ask.count. The answer: { job, score } each; of what is held { job, claim, server, queue, claimed at, note }.

local jobs = {}
if ask.place == 'held' then
  for _, server in ipairs(call('HKEYS', own .. 'servers')) do
    for _, each in ipairs(heldBy(server)) do
      local note = call('HGET', own .. 'notes:' .. server, each.claim)
      jobs[#jobs + 1] = { each.job, each.claim, server, each.queue, each.at, note }
    end
  end
  table.sort(jobs, function(a, b) return a[2] < b[2] end)
elseif ask.place == 'queue' then
  local some = call('LRANGE', queueKey(ask.queue), -ask.from - ask.count, -ask.from - 1)
  for i = #some, 1, -1 do jobs[#jobs + 1] = { some[i] } end
else
  local flat = call('ZRANGE', setKey(ask.place), ask.from, ask.from + ask.count - 1, 'WITHSCORES')
  for i = 1, #flat, 2 do jobs[#jobs + 1] = { flat[i], tonumber(flat[i + 1]) } end
end
return answer(jobs)
