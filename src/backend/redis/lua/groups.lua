-- Groups of jobs, each stored whole or not at all: of an add, or of the ticks of schedules.
--
-- ask.templates  { queue, name, priority, maxAttempts } each       ask.jobs       per job the place of its template
-- ask.payloads   per job                                           ask.groups     jobs per group
-- ask.more       place, { runAt, facts, unique, elsewhere }, … of jobs with more than a payload; `elsewhere`: in another shard
-- ask.limits     place of a group, maxWaiting, …                   ask.once       place of a group, { key, fingerprint, ttl }, …
--
-- ask.base, ask.offsets   the stamp of each job, see stamps.lua
--
-- Places count from 1. The answer: `first`, the number of the first new job; the others follow it in their order. `existing`:
-- place -> ref of the job that was there. `others`: place of a group -> what became of it, when its jobs were not stored.

local asked, more, limits, onces, stored, plain, heads

local function readGroups()
  asked, heads = {}, {}
  for i, each in ipairs(ask.templates) do asked[i] = { queue = each[1], name = each[2], priority = each[3], maxAttempts = each[4] } end
  more, limits, onces = sparse(ask.more), sparse(ask.limits), sparse(ask.once)
  stored = { existing = {}, others = {} }
  -- Jobs that go to `fresh:` and that nobody has to know of wait here to be written together; a run is what goes into one line.
  plain = { records = {}, runs = {}, refs = {} }
end

-- Numbers are given in the order of the jobs.
local function numbersFor(count)
  local first = newNumbers(count)
  stored.first = stored.first or first
  return first
end

local function templateNoOf(each)
  if not each.no then
    each.q = queueOf(each.queue)
    each.no = templateOf(each.q.no, each.name, each.priority, each.maxAttempts)
  end
  return each.no
end

-- The job that a new one leads to, as of fates.lua.
local function earlierOf(each, new) return fates.earlier(each.q or findQueue(each.queue), new.facts, new.unique) end

-- Whether a job before it in its group, which is not stored yet, will be the one that it leads to.
local function isRepeated(new, queueName, planned)
  local facts, rule = new.facts, new.unique
  local names = {}
  if facts and facts.id then names[#names + 1] = 'i' .. facts.id end
  if rule then names[#names + 1] = 'u' .. #queueName .. queueName .. rule.key end
  if facts and facts.id and planned[names[1]] then return true end
  local same = rule and planned[names[#names]]
  if same then
    if rule.period then return true end
    for _, state in ipairs(rule.states) do if same[state] then return true end end
  end
  local state = (new.runAt or now) > now and 'scheduled' or 'available'
  for _, name in ipairs(names) do
    planned[name] = planned[name] or {}
    planned[name][state] = true
  end
  return false
end

-- Per place whether the job would be a new one.
local function newOnes(from, to)
  local isNew, planned = {}, {}
  for place = from, to do
    local each, new = asked[ask.jobs[place]], more[place]
    if not new then
      isNew[place] = true
    elseif new.elsewhere then
      isNew[place] = false
    else
      local job, ref = earlierOf(each, new)
      isNew[place] = not job and not ref and not isRepeated(new, each.queue, planned)
    end
  end
  return isNew
end

-- `place`: that of the first new job of the queue that is full.
local function fullAnswer(from, to, limit, isNew)
  local coming, order, places = {}, {}, {}
  for place = from, to do
    if isNew[place] then
      local name = asked[ask.jobs[place]].queue
      if not coming[name] then order[#order + 1], places[name] = name, place end
      coming[name] = (coming[name] or 0) + 1
    end
  end
  for _, name in ipairs(order) do
    local q = findQueue(name)
    local waiting = q and waitingIn(q) or 0
    if waiting + coming[name] > limit then
      return { status = 'full', queue = name, waiting = waiting, limit = limit, place = places[name] }
    end
  end
  return nil
end

-- `names`: the numbers of the jobs, as texts.
local function joinFresh(q, priority, names)
  local size = #names
  many('RPUSH', freshOf(q, priority), names)
  add(q.v, P[priority], size)
  add(q.v, 'plain', size)
  add(q.v, 'available', size)
  q.v[LAST[priority]] = now
end

local function flushPlain()
  local size = #plain.records
  if size == 0 then return end
  local first = numbersFor(size)
  putRecords(first, plain.records)
  local at = first
  for _, run in ipairs(plain.runs) do
    local q, names = run.q, {}
    for i = 1, run.size do names[i] = text(at + i - 1) end
    joinFresh(q, run.priority, names)
    if (q.settings.events or 0) > 0 then
      for i = 1, run.size do tell(decoded(at + i - 1, plain.records[at - first + i]), 'added') end
    end
    wake(q)
    at = at + run.size
  end
  for place = 1, size do
    local refs = plain.refs[place]
    if refs then refs[#refs + 1] = first + place - 1 end
  end
  plain = { records = {}, runs = {}, refs = {} }
end

-- In a call that goes to several shards each job has a place among those of the others.
local function stampFor(place) return stampOf(ask.offsets and ask.base + ask.offsets[place]) end

-- What the records of jobs with nothing but a payload begin with.
local function headFor(index, stamp)
  local head = heads[index]
  if not head or head.stamp ~= stamp then
    head = { stamp = stamp, text = record(templateNoOf(asked[index]), now, nil, nil, '', stamp) }
    heads[index] = head
  end
  return head.text
end

local function isPlainJob(new) return not new or not (new.unique or new.runAt or new.facts.id or new.facts.key) end

local function addPlain(place)
  local index = ask.jobs[place]
  local each, new, stamp = asked[index], more[place], stampFor(place)
  if new then
    plain.records[#plain.records + 1] = record(templateNoOf(each), now, nil, new.facts, ask.payloads[place], stamp)
  else
    plain.records[#plain.records + 1] = headFor(index, stamp) .. ask.payloads[place]
  end
  local last = plain.runs[#plain.runs]
  if last and last.q == each.q and last.priority == each.priority then
    last.size = last.size + 1
  else
    plain.runs[#plain.runs + 1] = { q = each.q, priority = each.priority, size = 1 }
  end
end

-- `fresh:` is in order of time, so a clock that was put back keeps jobs out of it.
local function isInOrder(each)
  templateNoOf(each)
  return each.q.v[LAST[each.priority]] <= now
end

local function addOther(place)
  local each, new = asked[ask.jobs[place]], more[place] or {}
  flushPlain()
  if new.elsewhere then
    stored.existing[#stored.existing + 1] = { place, new.facts.id }
    return new.facts.id
  end
  local job, ref = earlierOf(each, new)
  if job then
    stored.existing[#stored.existing + 1] = { place, refOf(job) }
    if refOf(job) ~= (new.facts and new.facts.id) then
      fates.renew(job, { rule = new.unique, facts = new.facts, payload = ask.payloads[place], priority = each.priority, runAt = new.runAt })
    end
    return refOf(job)
  elseif ref then
    stored.existing[#stored.existing + 1] = { place, ref }
    return ref
  end
  local facts = new.facts
  if new.unique then
    facts = facts or {}
    facts.unique = { key = new.unique.key, period = new.unique.period }
  end
  local number = numbersFor(1)
  local rec = record(templateNoOf(each), now, new.runAt, facts, ask.payloads[place], stampFor(place))
  putRecords(number, { rec })
  local isFresh = not (facts and facts.key) and not new.runAt and isInOrder(each)
  if isFresh then joinFresh(each.q, each.priority, { text(number) }) end
  fates.store(number, rec, isFresh)
  wake(each.q)
  return facts and facts.id or number
end

local function addGroup(group, from, to)
  local once = onces[group]
  local seen = once and onceAnswer(once)
  local limit = limits[group]
  if not seen and limit then
    flushPlain()
    seen = fullAnswer(from, to, limit, newOnes(from, to))
  end
  if seen then
    stored.others[#stored.others + 1] = { group, seen }
    return
  end
  local refs = once and {}
  for place = from, to do
    if not isPlainJob(more[place]) or not isInOrder(asked[ask.jobs[place]]) then
      local ref = addOther(place)
      if refs then refs[#refs + 1] = ref end
    else
      addPlain(place)
      if refs then plain.refs[#plain.records] = refs end
    end
  end
  arrange()
  if once then
    flushPlain()
    rememberOnce(once, refs)
  end
end

local function addGroups()
  local from = 1
  for group, size in ipairs(ask.groups) do
    addGroup(group, from, from + size - 1)
    from = from + size
  end
  flushPlain()
  arrange()
end

local function storedAnswer()
  return { first = stored.first, existing = stored.existing, others = stored.others, stamp = stampOf() }
end
