-- Stores groups of jobs, each whole or not at all. ask.groups: { lists: { queue, jobs } each, timed: score, job, …,
-- counts: { queue, how many } each, ids, maxWaiting, once: { key, fingerprint, ttl } }. The answer: { status, … } each.

local function store(group)
  local once = group.once and own .. 'once:' .. group.once.key
  local seen = once and call('GET', once)
  local first = seen and cmsgpack.unpack(seen)
  if first and first[3] > now then
    return first[1] == group.once.fingerprint and { 'repeated', first[2] } or { 'mismatch' }
  end
  if group.maxWaiting then
    for _, count in ipairs(group.counts) do
      local waiting = call('LLEN', queueKey(count[1]))
      if waiting + count[2] > group.maxWaiting then return { 'full', count[1], waiting } end
    end
  end
  for _, list in ipairs(group.lists) do
    call('SADD', QUEUES, list[1])
    many('LPUSH', queueKey(list[1]), list[2])
  end
  many('ZADD', wire .. 'schedule', group.timed)
  for _, count in ipairs(group.counts) do tell('q:' .. count[1]) end
  if once and group.once.ttl > 0 then
    call('SET', once, cmsgpack.pack({ group.once.fingerprint, group.ids, now + group.once.ttl }), 'PX', group.once.ttl)
  end
  return { 'stored' }
end

local results = {}
for i, group in ipairs(ask.groups) do results[i] = store(group) end
return answer(results)
