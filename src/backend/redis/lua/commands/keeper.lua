-- Which shard keeps the `once` key ask.key: ask.shard, unless one is named that is not ask.instead. Forgotten ask.keep ms after
-- it was asked for last; that is the real clock, so it is far longer than the key is kept.

local pointer = prefix .. 'keeper:' .. ask.key
local known = tonumber(call('GET', pointer) or ask.shard)
if known == ask.instead then known = ask.shard end
local keep = math.max(call('PTTL', pointer), ask.keep)
call('SET', pointer, text(known), 'PX', text(keep))
return answer(known)
