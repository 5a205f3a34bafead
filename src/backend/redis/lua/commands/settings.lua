-- The settings of ask.queue as they were written, or false.

local no = call('HGET', prefix .. 'queues', ask.queue)
return answer(no and call('HGET', prefix .. 'q:' .. no, 'settings'))
