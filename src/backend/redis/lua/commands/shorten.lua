-- The `once` key ask.key is forgotten ask.ttl ms from now.

local packed = call('HGET', prefix .. 'once', ask.key)
if packed then
  local seen = cmsgpack.unpack(packed)
  seen.ends = now + ask.ttl
  keepOnce(ask.key, seen)
end
return answer(true)
