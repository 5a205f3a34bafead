-- The settings of a queue, as they were stored; false when there are none. ask.queue.

return answer(call('HGET', own .. 'settings', ask.queue))
