-- Whether the server still holds these jobs. ask.server, ask.ids, ask.claims. The answer as that of settle.

local server = findServer(ask.server)
local results = {}
for i, claim in ipairs(ask.claims) do
  local record = server and call('GET', prefix .. 'worker:' .. workerOf(server, claim % SLOTS))
  local job = record and held(record)
  results[i] = job and job.claim == claim and nameOf(job.queue, job.bytes) == ask.ids[i] and '1' or '0'
end
return answer(table.concat(results))
