-- Takes the lock ask.key for ask.token, for ask.ttl ms at most. The answer: whether that one has it.

local lock = prefix .. 'lock:' .. ask.key
call('SET', lock, ask.token, 'NX', 'PX', text(ask.ttl))
return answer(call('GET', lock) == ask.token)
