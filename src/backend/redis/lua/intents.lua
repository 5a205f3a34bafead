-- What is decided to go to several shards, until every one of them has its part.
--
--   intents    id -> msgpack { base: the first stamp, parts: opaque, once: the key of its group }
--   intended   ids by when that was

-- Returns the first of its stamps. `once` may be nil.
local function intend(intent, once)
  local base = reserveStamps(intent.count)
  call('HSET', prefix .. 'intents', intent.id, cmsgpack.pack({ base = base, parts = intent.parts, once = once and once.key }))
  call('ZADD', prefix .. 'intended', now, intent.id)
  if once then
    keepOnce(once.key, { fingerprint = once.fingerprint, intent = intent.id, ends = now + once.ttl })
  end
  return base
end
