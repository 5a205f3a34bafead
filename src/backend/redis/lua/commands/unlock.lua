-- Gives the lock ask.key back, if ask.token has it.

local lock = prefix .. 'lock:' .. ask.key
if call('GET', lock) == ask.token then call('DEL', lock) end
return answer(true)
