-- A server goes to ask.shard: ask.id. The answer, from its home: `info`, `beatAt`, and whether it is `new` there; or false, when
-- it is not known.

local info = call('HGET', prefix .. 'servers', ask.id)
if not info then return answer(false) end
local _, isNew = noteWhere(ask.id, { ask.shard })
return answer({ info = info, beatAt = tonumber(call('ZSCORE', prefix .. 'beats', ask.id)), new = isNew })
