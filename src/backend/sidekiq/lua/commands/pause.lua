-- Stops a queue, or lets it go on: ask.queue, ask.paused (absent: only makes it known). The answer: whether it is paused.

call('SADD', QUEUES, ask.queue)
if ask.paused == true then call('SADD', wire .. 'paused', ask.queue) end
if ask.paused == false then call('SREM', wire .. 'paused', ask.queue) end
tell('q:' .. ask.queue)
return answer(call('SISMEMBER', wire .. 'paused', ask.queue) == 1)
