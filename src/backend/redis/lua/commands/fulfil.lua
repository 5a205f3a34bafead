-- Every shard has its part of the intent ask.id; ask.refs: the ids of its jobs.

local packed = call('HGET', prefix .. 'intents', ask.id)
local intent = packed and cmsgpack.unpack(packed)
if intent and intent.once then
  local kept = call('HGET', prefix .. 'once', intent.once)
  local seen = kept and cmsgpack.unpack(kept)
  if seen and seen.intent == ask.id then
    seen.intent, seen.refs = nil, ask.refs
    keepOnce(intent.once, seen)
  end
end
call('HDEL', prefix .. 'intents', ask.id)
call('ZREM', prefix .. 'intended', ask.id)
return answer(true)
