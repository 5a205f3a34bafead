-- Does something to jobs that were seen: takes each away from where it was and, if it was still there, puts it elsewhere.
--
-- ask.jobs: from, item, queue, bytes per job. from: the key of a list, in which it is `item`; of a running job the record of its
-- worker. ask.at: they go to their queues then, one after the other, `every` ms apart. ask.error (as in settle): they go to
-- `failed`; with ask.reason those that run are told to stop. The answer: how many there were.

local function isRunning(from) return string.sub(from, 1, 7) == 'worker:' end

-- Only ours can be told.
local function stop(from, item)
  if call('GET', prefix .. from) ~= item then return false end
  local worker = string.sub(from, 8)
  for _, id in ipairs(call('ZRANGE', own .. 'beats', 0, -1)) do
    local server = findServer(id)
    local slot = server and string.sub(worker, #server.head + 1, -#server.tail - 1)
    local job = slot and workerOf(server, slot) == worker and held(item, slot)
    if job then
      call('HSET', ORDERS, worker, cmsgpack.pack({ job.number, ask.reason }))
      order(id)
      return true
    end
  end
  return false
end

local done = 0
for i = 1, #ask.jobs, 4 do
  local from, item, queue, bytes = ask.jobs[i], ask.jobs[i + 1], ask.jobs[i + 2], ask.jobs[i + 3]
  if isRunning(from) then
    if stop(from, item) then done = done + 1 end
  elseif call('LREM', prefix .. from, 1, item) == 1 then
    local seconds = string.match(from, '^delayed:(%d+)$')
    if seconds then
      call('SREM', prefix .. 'timestamps:' .. item, from)
      closeDelayed(seconds)
    end
    if ask.at then
      local at = math.max(ask.at, ask.every > 0 and now or 0) + done * ask.every
      if at > now then delay(queue, bytes, at) else push(queue, bytes) end
    else
      -- What the wire could not carry of it goes with it.
      if from ~= 'failed' then takeNote(queue, bytes) end
      if ask.error then fail(queue, bytes, '', ask.error) end
    end
    done = done + 1
  end
end
return answer(done)
