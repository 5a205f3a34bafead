-- All that can become of a job, as in memory/store.ts.

local fates = {}

do
  local PROBATION = 60000

  -- A job that does not run any more has neither server nor order.
  local function freed(job)
    job.server = 0
    if job.ordered then
      job.ordered = nil
      local extra = extras(job)
      extra.order = nil
      saveExtras(job, extra)
    end
  end

  -- Gone without a trace: what it is, how it stands, and what became of it.
  local function forget(job)
    removeRecord(job.number)
    if not job.fresh then statusWrites[job.number] = false end
    if job.extra then call('HDEL', EXTRAS, job.number) end
    if job.logged then call('DEL', prefix .. 'log:' .. job.number) end
    if job.facts and job.facts.id then call('HDEL', OWN, job.facts.id) end
  end

  -- A job that does not run goes. `isTraced`: on its own way, not on somebody's word.
  function fates.remove(job, isTraced)
    exit(job)
    if job.facts and job.facts.unique then uniques.delete(job, isTraced) end
    forget(job)
    if job.key then wake(job.queue) end
  end

  -- `stopped`: by failing, and not on somebody's word.
  local function finish(job, state, stopped, text)
    exit(job)
    freed(job)
    job.state, job.stopped, job.endedAt = state, stopped, now
    enter(job)
    save(job)
    tell(job, state, text)
    if job.queue.settings.concurrency or job.key then wake(job.queue) end
    news()
  end

  -- Ended from outside.
  function fates.stop(job, state, reason)
    remember(job, { attempt = job.attempt, at = now, message = reason })
    finish(job, state, nil, reason)
  end

  local function again(job, state, to, kind, text, attempt)
    exit(job)
    freed(job)
    job.state = state
    if to.stopped then job.stopped = true end
    if to.runAt then retime(job, to.runAt) end
    if to.attempt then job.attempt = to.attempt end
    enter(job)
    save(job)
    tell(job, kind, text, attempt)
    wake(job.queue)
  end

  local function complete(job, result)
    local q = job.queue
    q.v.completed = q.v.completed + 1
    tell(job, 'completed')
    if q.settings.concurrency or job.key then wake(q) end
    if not (job.facts and job.facts.keepFor) then
      fates.remove(job, true)
      return
    end
    exit(job)
    freed(job)
    job.state, job.endedAt = 'completed', now
    if result then
      local extra = extras(job)
      extra.result = result
      saveExtras(job, extra)
    end
    enter(job)
    save(job)
    news()
  end

  local function orderOf(job) return job.ordered and extras(job).order end

  -- A running job ends, or will run again.
  function fates.settle(job, ending)
    local kind, error = ending.kind, ending.error
    if error then remember(job, error) end
    local order = orderOf(job)
    local isAgain = kind == 'returned' or kind == 'snoozed' or (kind == 'failed' and ending.retryAt)
    -- It was asked to stop while it ended: another run is what nobody wants.
    if order and isAgain then
      fates.stop(job, 'cancelled', order)
    elseif kind == 'completed' then
      complete(job, ending.result)
    elseif kind == 'returned' then
      again(job, 'available', {}, 'returned')
    elseif kind == 'snoozed' then
      again(job, 'scheduled', { stopped = true, runAt = ending.runAt }, 'snoozed')
    elseif kind == 'failed' and ending.retryAt then
      local to = { stopped = true, runAt = ending.retryAt, attempt = job.attempt + 1 }
      again(job, 'retryable', to, 'failed', error.message, job.attempt)
    elseif kind == 'cancelled' then
      finish(job, 'cancelled', nil, error.message)
    else
      finish(job, 'discarded', true, error.message)
    end
  end

  -- The server of a running job is gone; `crash`: not on purpose, with what to write into the history.
  function fates.dismiss(job, crash)
    local order = orderOf(job)
    local maxCrashes = job.queue.settings.maxCrashes
    if crash then
      job.crashes = job.crashes + 1
      remember(job, { attempt = job.attempt, at = now, message = crash.message, code = crash.codes[1] })
    end
    if order then
      fates.stop(job, 'cancelled', order)
    elseif crash and job.crashes >= maxCrashes then
      local message = crash.quarantined[1] .. string.format('%d', job.crashes) .. crash.quarantined[2]
      remember(job, { attempt = job.attempt, at = now, message = message, code = crash.codes[2] })
      finish(job, 'quarantined', true, message)
    elseif crash and job.crashes == maxCrashes - 1 then
      again(job, 'retryable', { stopped = true, runAt = now + PROBATION }, 'rescued')
    else
      again(job, 'available', {}, crash and 'rescued' or 'returned')
    end
  end

  -- A job that waits or has ended runs again at `runAt`; one that has ended starts over.
  function fates.retry(job, runAt)
    exit(job)
    if isEnded(job.state) then
      job.attempt, job.crashes, job.endedAt = 1, 0, nil
      local extra = extras(job)
      if extra.result then
        extra.result = nil
        saveExtras(job, extra)
      end
    end
    job.state, job.stopped = runAt > now and 'scheduled' or 'available', nil
    retime(job, runAt)
    enter(job)
    save(job)
    tell(job, 'retried')
    wake(job.queue)
  end

  -- A waiting job with another time, between `exit` and `enter`.
  local function reschedule(job, runAt)
    if runAt <= now then
      job.state = 'available'
    elseif job.state == 'available' then
      job.state = 'scheduled'
    end
    retime(job, runAt)
  end

  -- A waiting job with other content; `to`: payload, priority, maxAttempts, tags, headers (false: none), runAt.
  function fates.change(job, to)
    exit(job)
    if to.priority then job.priority = to.priority end
    if to.maxAttempts then job.maxAttempts = to.maxAttempts end
    if to.runAt then reschedule(job, to.runAt) end
    local facts = job.facts or {}
    if to.tags ~= nil then facts.tags = to.tags or nil end
    if to.headers ~= nil then facts.headers = to.headers or nil end
    job.facts = next(facts) ~= nil and facts or nil
    job.templateNo = templateOf(job.queue.no, job.name, job.priority, job.maxAttempts)
    local runAt = job.runAt ~= job.addedAt and job.runAt or nil
    local payload = to.payload or payloadOf(job)
    job.record = record(job.templateNo, job.addedAt, runAt, job.facts, payload, job.stamp)
    job.payloadAt = #job.record - #payload + 1
    replaceRecord(job.number, job.record)
    enter(job)
    save(job)
    wake(job.queue)
  end

  -- The job that a new one's id or rule leads to, or nil and the ref of one that is gone.
  function fates.earlier(q, facts, rule)
    local same = facts and facts.id and find(facts.id)
    if same then return same end
    if rule and q then return uniques.find(q, rule) end
    return nil
  end

  -- What a unique rule makes of the job that is there.
  function fates.renew(job, new)
    local mode = new.rule and new.rule.mode
    if not mode or mode == 'keep' or not isWaiting(job.state) then return end
    local facts = new.facts or {}
    local to = { payload = new.payload, priority = new.priority, tags = facts.tags or false, headers = facts.headers or false }
    if mode == 'debounce' then to.runAt = new.runAt or now end
    fates.change(job, to)
  end

  -- A new job that does not go to `fresh:`, or (`isFresh`) that others have to know of. Its record is written by the caller,
  -- and its place in `fresh:`.
  function fates.store(number, rec, isFresh)
    local job = decoded(number, rec)
    if job.runAt > now then job.state = 'scheduled' end
    if job.facts and job.facts.id then call('HSET', OWN, job.facts.id, number) end
    if not isFresh then
      job.fresh = nil
      enter(job)
      save(job)
    end
    if job.facts and job.facts.unique then uniques.put(job) end
    tell(job, 'added')
  end
end
