-- Removes what retention no longer keeps, at most ask.limit of everything. First what is over a count, then what is too old.
-- The answer: how many.

local left = ask.limit

local function sweep(members)
  for _, member in ipairs(members) do
    local job = load(tonumber(member))
    if job then fates.remove(job, true) end
  end
  left = left - #members
end

for no = 1, call('HLEN', prefix .. 'queues') do
  local q = queue(no)
  for _, state in ipairs({ 'completed', 'discarded', 'cancelled', 'quarantined' }) do
    local key, keep = prefix .. 'ended:' .. no .. ':' .. state, q.settings.retention[state]
    local excess = math.min(left, call('ZCARD', key) - keep.count)
    if excess > 0 then sweep(call('ZRANGE', key, 0, excess - 1)) end
    if left > 0 then sweep(call('ZRANGEBYSCORE', key, '-inf', now - keep.age, 'LIMIT', 0, left)) end
  end
  if left > 0 then sweep(call('ZRANGEBYSCORE', prefix .. 'expiring:' .. no, '-inf', now, 'LIMIT', 0, left)) end
  arrange()
  if left > 0 then left = left - uniques.tidy(q, left) end
  if left > 0 then left = left - keys.tidy(q, left) end
  if left <= 0 then break end
end

if left > 0 then
  local over = call('ZRANGEBYSCORE', prefix .. 'forgetting', '-inf', now, 'LIMIT', 0, left)
  for _, key in ipairs(over) do
    call('HDEL', prefix .. 'once', key)
    call('ZREM', prefix .. 'forgetting', key)
  end
  left = left - #over
end
return answer(ask.limit - left)
