-- Of the jobs of a server that shall stop: id, number and slot of the claim, reason. ask.id.

local server = call('EXISTS', ORDERS) == 1 and findServer(ask.id)
local all = {}
if server then
  for _, job in ipairs(allHeld(server)) do
    local reason = reasonFor(workerOf(server, job.slot), job.number)
    if reason then all[#all + 1] = { nameOf(job.queue, job.bytes), job.number, job.slot, reason } end
  end
end
return answer(all)
