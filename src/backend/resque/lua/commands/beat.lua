-- Registers a server if it is new, and renews its lease. ask.id, ask.info: opaque; ask.head, ask.tail, ask.goworker, ask.once,
-- ask.workers: what its workers are called, how they behave, and how many are there from the start; ask.counts: slot, processed,
-- failed, … of those that have ended jobs since the last beat.

local server = findServer(ask.id)
if not server then
  call('HSET', own .. 'server:' .. ask.id, 'info', ask.info, 'head', ask.head, 'tail', ask.tail,
    'goworker', ask.goworker and 1 or 0, 'once', ask.once and 1 or 0)
  server = findServer(ask.id)
  many('RPUSH', own .. 'free:' .. ask.id, grow(server, math.min(ask.workers, 1000)))
  if server.goworker then
    local name = workerOf(server, 'poller')
    call('SADD', prefix .. 'workers', name)
    enlist(server, name)
  end
else
  call('HSET', own .. 'server:' .. ask.id, 'info', ask.info)
  -- Somebody may have taken them for dead.
  local names, beats = {}, {}
  for i, slot in ipairs(call('LRANGE', own .. 'slots:' .. ask.id, 0, -1)) do
    names[i] = workerOf(server, slot)
    beats[2 * i - 1], beats[2 * i] = names[i], moment(now, form.iso)
  end
  many('SADD', prefix .. 'workers', names)
  if not server.goworker then many('HSET', prefix .. 'workers:heartbeat', beats) end
end
for at = 1, #ask.counts, 3 do
  local worker = workerOf(server, ask.counts[at])
  for i, stat in ipairs({ 'processed', 'failed' }) do
    local count = ask.counts[at + i]
    if count > 0 then call('INCRBY', prefix .. 'stat:' .. stat .. ':' .. worker, count) end
  end
end
call('ZADD', own .. 'beats', now, ask.id)
return answer(true)
