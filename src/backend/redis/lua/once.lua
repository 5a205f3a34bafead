-- Groups that are stored once: `once` has their keys, `forgetting` when each is forgotten.
--
--   key -> msgpack { fingerprint, ends, refs }, or instead of refs `intent` while the group is on its way to several shards

-- What a group with that key is answered; nil when it is the first.
local function onceAnswer(once)
  local packed = call('HGET', prefix .. 'once', once.key)
  local seen = packed and cmsgpack.unpack(packed)
  if not seen or seen.ends <= now then return nil end
  if seen.fingerprint ~= once.fingerprint then return { status = 'mismatch' } end
  if seen.intent then return { status = 'intended', intent = seen.intent } end
  return { status = 'repeated', refs = seen.refs }
end

local function keepOnce(key, seen)
  call('HSET', prefix .. 'once', key, cmsgpack.pack(seen))
  call('ZADD', prefix .. 'forgetting', seen.ends, key)
end

local function rememberOnce(once, refs)
  keepOnce(once.key, { fingerprint = once.fingerprint, refs = refs, ends = now + once.ttl })
end
