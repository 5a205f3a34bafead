-- Replaces the settings of a queue if they are still those that the new ones were made of. ask.queue, ask.before (or false),
-- ask.after. The answer: whether they were.

if call('HGET', own .. 'settings', ask.queue) ~= ask.before then return answer(false) end
call('HSET', own .. 'settings', ask.queue, ask.after)
wake(ask.queue)
return answer(true)
