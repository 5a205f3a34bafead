-- ask.key. The answer: the schedule that was there, or false.

local packed = call('HGET', prefix .. 'schedules', ask.key)
call('HDEL', prefix .. 'schedules', ask.key)
call('ZREM', prefix .. 'ticks', ask.key)
if packed then heard['schedules'] = true end
return answer(packed)
