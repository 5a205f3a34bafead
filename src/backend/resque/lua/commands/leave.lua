-- A server is gone on purpose: what it holds is handed back, in its order. ask.id.

local server = findServer(ask.id)
if server then
  local all = allHeld(server)
  for i = #all, 1, -1 do
    local job = all[i]
    local worker = workerOf(server, job.slot)
    local reason = reasonFor(worker, job.number)
    if reason then
      cancelled(job.queue, job.bytes, worker, reason, server.goworker)
    else
      putBack(job.queue, job.bytes)
      note(job.queue, job.bytes, job.attempt, job.crashes)
    end
  end
  dismiss(server)
end
return answer(true)
