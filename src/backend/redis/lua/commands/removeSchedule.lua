-- ask.key. The answer: whether there was one.

local count = call('HDEL', prefix .. 'schedules', ask.key)
call('ZREM', prefix .. 'ticks', ask.key)
if count > 0 then heard['schedules'] = true end
return answer(count > 0)
