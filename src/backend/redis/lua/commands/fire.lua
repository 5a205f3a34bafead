-- Moves schedules on and adds their jobs, each whole or not at all. ask.firings: { key, tick, nextAt } each; their jobs are the
-- groups of groups.lua. Several of one key are taken in their order. `stale`: the tick is not its next; `gone`: there is no such
-- schedule. A firing whose jobs go to several shards has an `intent` instead of jobs, as of intend.lua; it is answered `base`.

readGroups()
local from = 1
for i, firing in ipairs(ask.firings) do
  local size = ask.groups[i]
  local packed = call('HGET', prefix .. 'schedules', firing.key)
  local schedule = packed and cmsgpack.unpack(packed)
  if schedule and schedule.nextAt == firing.tick then
    if size > 0 or firing.intent then schedule.fired, schedule.lastAt = schedule.fired + 1, firing.tick end
    schedule.nextAt = firing.nextAt
    call('HSET', prefix .. 'schedules', firing.key, cmsgpack.pack(schedule))
    if schedule.nextAt then
      call('ZADD', prefix .. 'ticks', schedule.nextAt, firing.key)
    else
      call('ZREM', prefix .. 'ticks', firing.key)
    end
    addGroup(i, from, from + size - 1)
    if firing.intent then stored.others[#stored.others + 1] = { i, { status = 'intended', base = intend(firing.intent) } } end
  else
    stored.others[#stored.others + 1] = { i, { status = schedule and 'stale' or 'gone' } }
  end
  from = from + size
end
flushPlain()
arrange()
return answer(storedAnswer())
