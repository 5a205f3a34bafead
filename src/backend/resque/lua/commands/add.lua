-- Stores groups of jobs.
--
-- ask.groups: per group its jobs as queue, bytes, runAt or false, …; ask.limits and ask.once per group, false for most.
-- The answer: per group true, or what stood in the way.

local results = {}
for i, jobs in ipairs(ask.groups) do
  local once, limit = ask.once[i], ask.limits[i]
  local seen = once and call('GET', own .. 'once:' .. once.key)
  seen = seen and cmsgpack.unpack(seen)
  if seen and seen[3] <= now then seen = nil end
  local counts, full = {}, nil
  if limit and not seen then
    for at = 1, #jobs, 3 do
      local queue = jobs[at]
      if not counts[queue] then counts[queue] = call('LLEN', prefix .. 'queue:' .. queue) end
      counts[queue] = counts[queue] + 1
      if not full and counts[queue] > limit then full = queue end
    end
  end
  if seen then
    results[i] = seen[1] == once.fingerprint and { status = 'repeated', ids = seen[2] } or { status = 'mismatch' }
  elseif full then
    results[i] = { status = 'full', queue = full, waiting = call('LLEN', prefix .. 'queue:' .. full), limit = limit }
  else
    local lists = {}
    for at = 1, #jobs, 3 do
      local queue, bytes, runAt = jobs[at], jobs[at + 1], jobs[at + 2]
      if runAt and runAt > now then
        delay(queue, bytes, runAt)
      else
        local list = lists[queue]
        if list then list[#list + 1] = bytes else lists[queue] = { bytes } end
      end
    end
    for queue, list in pairs(lists) do
      call('SADD', prefix .. 'queues', queue)
      many('RPUSH', prefix .. 'queue:' .. queue, list)
      wake(queue)
    end
    if once then
      local kept = cmsgpack.pack({ once.fingerprint, once.ids, now + once.ttl })
      call('SET', own .. 'once:' .. once.key, kept, 'PX', math.max(1, math.ceil(once.ttl)))
    end
    results[i] = true
  end
end
return answer(results)
