-- Which jobs a unique rule finds: per unique key of a queue the jobs that carry it, and the trace of the latest one that
-- went its way while its period was not over.
--
--   unique:<queue>   key -> msgpack { jobs = numbers, trace = { ref, number, addedAt, ends } }
--   traces:<queue>   key by the end of its trace's period

local uniques = {}

do
  local function entryOf(q, key)
    local packed = call('HGET', prefix .. 'unique:' .. q.no, key)
    return packed and cmsgpack.unpack(packed)
  end

  local function saveEntry(q, key, entry)
    if #entry.jobs == 0 and not entry.trace then
      call('HDEL', prefix .. 'unique:' .. q.no, key)
    else
      call('HSET', prefix .. 'unique:' .. q.no, key, cmsgpack.pack(entry))
    end
  end

  -- The latest job that is in the way of a new one: the job, or nil and the ref of one that left no record.
  function uniques.find(q, rule)
    local entry = entryOf(q, rule.key)
    if not entry then return nil end
    local function isYoung(addedAt) return rule.period ~= nil and now < addedAt + rule.period end
    local wanted = {}
    for _, state in ipairs(rule.states) do wanted[state] = true end
    local latest
    for _, number in ipairs(entry.jobs) do
      local job = load(number)
      if job and (isYoung(job.addedAt) or wanted[job.state]) and (not latest or number > latest.number) then latest = job end
    end
    local trace = entry.trace
    if trace and isYoung(trace.addedAt) and now < trace.ends and (not latest or trace.number > latest.number) then
      return nil, trace.ref
    end
    return latest
  end

  function uniques.put(job)
    local unique = job.facts and job.facts.unique
    if not unique then return end
    local entry = entryOf(job.queue, unique.key) or { jobs = {} }
    table.insert(entry.jobs, job.number)
    saveEntry(job.queue, unique.key, entry)
  end

  -- `isTraced`: the job went its way, and its period goes on.
  function uniques.delete(job, isTraced)
    local unique = job.facts and job.facts.unique
    local entry = unique and entryOf(job.queue, unique.key)
    if not entry then return end
    for i, number in ipairs(entry.jobs) do
      if number == job.number then
        table.remove(entry.jobs, i)
        break
      end
    end
    local ends = job.addedAt + (unique.period or 0)
    if isTraced and ends > now and job.number > (entry.trace and entry.trace.number or -1) then
      entry.trace = { ref = refOf(job), number = job.number, addedAt = job.addedAt, ends = ends }
      call('ZADD', prefix .. 'traces:' .. job.queue.no, ends, unique.key)
    end
    saveEntry(job.queue, unique.key, entry)
  end

  -- Forgets periods that are over, at most `limit`; how many.
  function uniques.tidy(q, limit)
    local over = call('ZRANGEBYSCORE', prefix .. 'traces:' .. q.no, '-inf', now, 'LIMIT', 0, limit)
    for _, key in ipairs(over) do
      local entry = entryOf(q, key)
      if entry then
        entry.trace = nil
        saveEntry(q, key, entry)
      end
      call('ZREM', prefix .. 'traces:' .. q.no, key)
    end
    return #over
  end
end
