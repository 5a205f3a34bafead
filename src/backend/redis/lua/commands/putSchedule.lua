-- Makes a schedule or replaces the one with its key. ask.key, ask.rule, ask.job (opaque), ask.nextAt.
-- While the rule stays the same, so does where the schedule stands; ask.before: the one with its key that was in another shard.

local packed = call('HGET', prefix .. 'schedules', ask.key) or ask.before
local same = packed and cmsgpack.unpack(packed)
local schedule = { rule = ask.rule, job = ask.job, nextAt = ask.nextAt, fired = 0 }
if same and same.rule == ask.rule then
  schedule = same
  schedule.job = ask.job
end
call('HSET', prefix .. 'schedules', ask.key, cmsgpack.pack(schedule))
if schedule.nextAt then
  call('ZADD', prefix .. 'ticks', schedule.nextAt, ask.key)
else
  call('ZREM', prefix .. 'ticks', ask.key)
end
heard['schedules'] = true
return answer(true)
