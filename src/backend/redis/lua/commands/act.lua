-- Does something to jobs that `look` has found, as far as they still match. ask.action, ask.reason, ask.at, ask.every,
-- ask.numbers. ask.position: how many were acted on before; or ask.positions: for each. The answer: to how many it was done.

readFilter()
local count = 0

local function order(job)
  local extra = extras(job)
  extra.order = ask.reason
  saveExtras(job, extra)
  job.ordered = true
  save(job)
  heard['s:' .. call('HGET', prefix .. 'serverName', job.server)] = true
end

for i, number in ipairs(ask.numbers) do
  local job = load(number)
  if job and matches(job) then
    if ask.action == 'retry' then
      local position = ask.positions and ask.positions[i] or ask.position + count
      fates.retry(job, math.ceil((ask.at or now) + position * (ask.every or 0)))
    elseif ask.action == 'remove' then
      fates.remove(job, false)
    elseif ask.action == 'discard' then
      fates.stop(job, 'discarded', ask.reason)
    elseif job.state == 'running' then
      order(job)
    else
      fates.stop(job, 'cancelled', ask.reason)
    end
    count = count + 1
  end
end
arrange()
return answer(count)
