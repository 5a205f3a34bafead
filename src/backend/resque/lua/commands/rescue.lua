-- Jobs of servers that have not beaten for ask.lease ms go on without them. ask.probation: how long a job waits for its last
-- chance; ask.died and ask.quarantined: messages in two halves around the server's id and the number of crashes; ask.code: of the
-- first. ask.counts: server; slot, processed, failed, …; and so on: what workers did since the last time. The answer: how many
-- jobs were rescued.

local function crash(server, job)
  local worker = workerOf(server, job.slot)
  local reason = reasonFor(worker, job.number)
  local packed = call('HGET', own .. 'settings', job.queue)
  local most = packed and cmsgpack.unpack(packed).maxCrashes or ask.maxCrashes
  local crashes = job.crashes + 1
  local error = string.format('{"attempt":%d,"at":%.0f,"code":"%s","message":%s}', job.attempt, now, ask.code,
    quote(ask.died[1] .. server.id .. ask.died[2]))
  if reason then
    cancelled(job.queue, job.bytes, worker, reason, server.goworker)
  elseif server.once or crashes >= most then
    local exception, message = '"Millrace::Quarantined"', ask.quarantined[1] .. crashes .. ask.quarantined[2]
    if server.once then
      -- In the words of Ruby, when it prunes its own.
      exception = '"Resque::PruneDeadWorkerDirtyExit"'
      message = 'Worker ' .. worker .. ' did not gracefully exit while processing ' .. cjson.decode((shown(job.bytes))).class
    end
    fail(job.queue, job.bytes, worker, { exception, quote(message), 'null' }, server.goworker)
    call('INCR', prefix .. 'stat:failed')
    if not server.goworker then call('INCR', prefix .. 'stat:processed') end
  elseif crashes == most - 1 then
    delayNoted(job.queue, job.bytes, now + ask.probation, job.attempt, crashes, error)
  else
    putBack(job.queue, job.bytes)
    note(job.queue, job.bytes, job.attempt, crashes, now, error)
  end
end

-- Of workers that were dismissed meanwhile nothing is counted any more.
local function count(server, counts)
  for at = 1, #counts, 3 do
    local worker = workerOf(server, counts[at])
    for i, stat in ipairs({ 'processed', 'failed' }) do
      local some = counts[at + i]
      if some ~= '0' then call('INCRBY', prefix .. 'stat:' .. stat .. ':' .. worker, some) end
    end
  end
end

for i = 1, #ask.counts, 2 do
  local server = findServer(ask.counts[i])
  if server then count(server, ask.counts[i + 1]) end
end

local rescued = 0
for _, id in ipairs(call('ZRANGEBYSCORE', own .. 'beats', '-inf', now - ask.lease)) do
  local server = findServer(id)
  if server then
    local all = allHeld(server)
    -- The one that was claimed first is the last to be put at the head.
    for i = #all, 1, -1 do crash(server, all[i]) end
    rescued = rescued + #all
    dismiss(server)
  else
    call('ZREM', own .. 'beats', id)
  end
end
return answer(rescued)
