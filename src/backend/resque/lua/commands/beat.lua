-- Registers a server if it is new, and renews its lease. ask.id; ask.info: JSON of ServerInfo, with `dress`: head and tail of its
-- workers' names, whether they are goworker's, and whether jobs run at most once.

local server = findServer(ask.id)
if not server then
  local info = cjson.decode(ask.info)
  local dress = info.dress
  call('HSET', own .. 'server:' .. ask.id, 'info', ask.info, 'head', dress.head, 'tail', dress.tail,
    'goworker', dress.goworker and 1 or 0, 'once', dress.once and 1 or 0)
  server = findServer(ask.id)
  many('RPUSH', own .. 'free:' .. ask.id, grow(server, math.min(info.concurrency, 1000)))
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
call('ZADD', own .. 'beats', now, ask.id)
return answer(true)
