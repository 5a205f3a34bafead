-- Registers a server if it is new, and renews its lease. ask.id, ask.info: opaque. ask.beatAt: only if it is new, as if it had
-- beaten then. ask.where: the shards where it is, asked at its home; the answer is all of them.

local server = call('HGET', prefix .. 'server', ask.id)
local isNew = not server
if isNew then
  server = call('INCR', prefix .. 'serverNumber')
  call('HSET', prefix .. 'server', ask.id, server)
  call('HSET', prefix .. 'serverName', server, ask.id)
end
if call('HGET', prefix .. 'servers', ask.id) ~= ask.info then call('HSET', prefix .. 'servers', ask.id, ask.info) end
if not ask.beatAt then
  call('ZADD', prefix .. 'beats', now, ask.id)
elseif isNew then
  call('ZADD', prefix .. 'beats', ask.beatAt, ask.id)
end
if not ask.where then return answer(true) end
local all = noteWhere(ask.id, ask.where)
return answer(all)
