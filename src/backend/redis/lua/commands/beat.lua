-- Registers a server if it is new, and renews its lease. ask.id, ask.info: opaque.

local server = call('HGET', prefix .. 'server', ask.id)
if not server then
  server = call('INCR', prefix .. 'serverNumber')
  call('HSET', prefix .. 'server', ask.id, server)
  call('HSET', prefix .. 'serverName', server, ask.id)
end
if call('HGET', prefix .. 'servers', ask.id) ~= ask.info then call('HSET', prefix .. 'servers', ask.id, ask.info) end
call('ZADD', prefix .. 'beats', now, ask.id)
return answer(true)
