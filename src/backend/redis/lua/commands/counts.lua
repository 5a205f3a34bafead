-- Every queue: its name, its numbers, its settings as they were written (or false).

local all = {}
for no = 1, call('HLEN', prefix .. 'queues') do
  local q = queue(no)
  local v = q.v
  all[no] = { name = q.name, scheduled = v.scheduled, available = v.available, running = v.running, retryable = v.retryable,
    discarded = v.discarded, cancelled = v.cancelled, quarantined = v.quarantined, completed = v.completed,
    settings = call('HGET', prefix .. 'q:' .. no, 'settings') }
end
return answer(all)
