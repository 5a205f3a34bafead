-- Where each job of a queue stands.
--
--   fresh:<queue>:<priority>   available, without a key, untouched since its add: a list of numbers, in order of time
--   late:<queue>:<priority>    the other available ones without a key: retried, promoted, handed back; by time
--   due:<queue>                scheduled, retryable: by time, promoted by the claim that comes after it
--   ended:<queue>:<state>      by when they ended: what retention goes by      expiring:<queue>   by keepFor
--   held:<server>              running
--
-- A job that is changed while it stands in `fresh:` leaves its entry behind, dead: it has a status from then on, or is gone,
-- which is how the claim that comes across the entry knows. Jobs with a key: see keys.lua.

local function lateOf(q, priority) return prefix .. 'late:' .. q.no .. ':' .. priority end
local function freshOf(q, priority) return prefix .. 'fresh:' .. q.no .. ':' .. priority end

local function add(v, field, by) v[field] = v[field] + by end

-- Whether the job counts among those that take the turns of no key.
local function isPlain(job) return not job.key and (job.state == 'running' or isWaiting(job.state)) end

local function countState(job, by) add(job.queue.v, job.state == 'completed' and 'kept' or job.state, by) end

-- A job comes in, in the state that it carries; it is not fresh. `arrange` is to follow, as after `exit`.
local function enter(job)
  local q, state = job.queue, job.state
  local v, member = q.v, pad(job.number)
  countState(job, 1)
  if isPlain(job) then add(v, 'plain', 1) end
  if state == 'scheduled' or state == 'retryable' then
    call('ZADD', prefix .. 'due:' .. q.no, job.runAt, member)
  elseif state == 'available' then
    if not job.key then
      add(v, P[job.priority], 1)
      add(v, W[job.priority], 1)
      call('ZADD', lateOf(q, job.priority), job.runAt, member)
    end
  elseif state ~= 'running' then
    call('ZADD', prefix .. 'ended:' .. q.no .. ':' .. state, job.endedAt, member)
    if state == 'completed' then
      call('ZADD', prefix .. 'expiring:' .. q.no, job.endedAt + job.facts.keepFor, member)
    end
  end
  if job.key then keys.enter(job) end
end

local function exit(job)
  local q, state = job.queue, job.state
  local v, member = q.v, pad(job.number)
  countState(job, -1)
  if isPlain(job) then add(v, 'plain', -1) end
  if state == 'scheduled' or state == 'retryable' then
    call('ZREM', prefix .. 'due:' .. q.no, member)
  elseif state == 'available' then
    if not job.key then
      add(v, P[job.priority], -1)
      if job.fresh then
        add(v, X[job.priority], 1)
      else
        add(v, W[job.priority], -1)
        call('ZREM', lateOf(q, job.priority), member)
      end
    end
  elseif state == 'running' then
    hold(job.server, job.number, false)
  else
    call('ZREM', prefix .. 'ended:' .. q.no .. ':' .. state, member)
    if state == 'completed' then call('ZREM', prefix .. 'expiring:' .. q.no, member) end
  end
  if job.key then keys.exit(job) end
end

-- The way from one state to another.
local function move(job, state)
  exit(job)
  job.state = state
  enter(job)
  save(job)
end

-- Most that become available in one claim; whoever claims next goes on.
local PROMOTED = 1000

-- What is due by now becomes available.
local function promote(q)
  if q.v.scheduled + q.v.retryable > 0 then
    local due = prefix .. 'due:' .. q.no
    local members = call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, PROMOTED)
    local numbers, late = {}, {}
    for i, member in ipairs(members) do numbers[i] = tonumber(member) end
    for i, job in ipairs(loadAll(numbers)) do
      if job.key then
        move(job, 'available')
      else
        countState(job, -1)
        job.state = 'available'
        countState(job, 1)
        local line = late[job.priority] or {}
        late[job.priority] = line
        line[#line + 1] = job.runAt
        line[#line + 1] = members[i]
        save(job)
      end
    end
    for priority, line in pairs(late) do
      many('ZADD', lateOf(q, priority), line)
      add(q.v, P[priority], #line / 2)
      add(q.v, W[priority], #line / 2)
    end
    many('ZREM', due, members)
    arrange()
  end
  if hasKeys(q) then keys.promote(q) end
end

-- Entries of `fresh:` that are dead leave from its front.
local function skipDead(q, priority)
  local line = freshOf(q, priority)
  while q.v[X[priority]] > 0 do
    local number = call('LINDEX', line, 0)
    if not number then
      q.v[X[priority]] = 0
      return
    end
    number = tonumber(number)
    if not readStatus(number) and recordOf(number) then return end
    call('LPOP', line)
    add(q.v, X[priority], -1)
  end
end

-- The next job without a key: its number, its priority, whether it stands in `late:`.
local function firstPlain(q)
  for priority = 0, 9 do
    local p, w = q.v[P[priority]], q.v[W[priority]]
    if p > 0 then
      local number
      if p > w then
        skipDead(q, priority)
        number = tonumber(call('LINDEX', freshOf(q, priority), 0))
        if w == 0 then return number, priority, false end
      end
      local late = call('ZRANGE', lateOf(q, priority), 0, 0, 'WITHSCORES')
      local lateNumber, lateAt = tonumber(late[1]), tonumber(late[2])
      if number then
        local job = decoded(number, liveRecordOf(number))
        if job.runAt < lateAt or (job.runAt == lateAt and number < lateNumber) then return number, priority, false end
      end
      return lateNumber, priority, true
    end
  end
  return nil
end

-- How many the queue's own limits let start.
local function roomIn(q)
  local settings = q.settings
  if settings.paused then return 0 end
  local room = settings.concurrency and settings.concurrency - q.v.running or math.huge
  if settings.rate then room = math.min(room, permits(settings.rate, q.v.fullAt)) end
  return room
end

-- A job that was taken from its line runs: `server` is a number. Returns its status.
local function begin(job, server)
  job.state, job.server, job.stopped, job.startedAt, job.claim = 'running', server, nil, now, job.claim + 1
  hold(server, job.number, true)
  tell(job, 'started')
  return save(job)
end

-- The first of its line starts. Returns its status.
local function start(job, server)
  if job.fresh then
    call('LPOP', freshOf(job.queue, job.priority))
    local v = job.queue.v
    add(v, P[job.priority], -1)
    add(v, 'available', -1)
    add(v, 'running', 1)
  else
    exit(job)
    job.state = 'running'
    enter(job)
  end
  return begin(job, server)
end

-- Takes `count` numbers that are alive from the front of `fresh:`, and the same as texts; there may be fewer.
local function popFresh(q, priority, count)
  local popped = call('LPOP', freshOf(q, priority), count) or {}
  local numbers = {}
  for i = 1, #popped do numbers[i] = tonumber(popped[i]) end
  if q.v[X[priority]] == 0 then return numbers, popped end
  local alive, names, status = {}, {}, readStatuses(numbers)
  for i, number in ipairs(numbers) do
    if not status[i] and recordOf(number) then
      alive[#alive + 1] = number
      names[#names + 1] = popped[i]
    else
      add(q.v, X[priority], -1)
    end
  end
  return alive, names
end

-- Jobs without a key that nobody has touched, many at a time: one status does for all of them.
local function takeFresh(q, priority, count, server, to)
  local numbers, names = popFresh(q, priority, count)
  local size = #numbers
  if size == 0 then return 0 end
  local records = recordsOf(numbers)
  local bare, other, before = {}, {}, #to.numbers
  for i = 1, size do
    local rec = records[i]
    to.numbers[before + i], to.records[before + i], to.statuses[before + i] = numbers[i], rec, ''
    local kind = bit.band(string.byte(rec), 4) > 0 and other or bare
    kind[#kind + 1] = names[i]
  end
  local pattern = { state = 'running', queue = q, attempt = 1, crashes = 0, claim = 1, server = server, runAt = 0,
    startedAt = now }
  for _, kind in ipairs({ bare, other }) do
    pattern.isBare = kind == bare
    writeStatuses(kind, statusOf(pattern))
  end
  many('SADD', prefix .. 'held:' .. server, names)
  add(q.v, P[priority], -size)
  add(q.v, 'available', -size)
  add(q.v, 'running', size)
  if (q.settings.events or 0) > 0 then
    for i, number in ipairs(numbers) do
      local job = decoded(number, records[i])
      tell(job, 'started')
    end
  end
  return size
end

local function hand(job, status, to)
  local place = #to.numbers + 1
  to.numbers[place], to.records[place], to.statuses[place], to.claims[place] = job.number, job.record, status, job.claim
end

-- The same for those in `late:`, when none of that priority are in `fresh:`.
local function takeLate(q, priority, count, server, to)
  local members, numbers = call('ZRANGE', lateOf(q, priority), 0, count - 1), {}
  for i, member in ipairs(members) do numbers[i] = tonumber(member) end
  for _, job in ipairs(loadAll(numbers)) do
    hand(job, begin(job, server), to)
  end
  many('ZREM', lateOf(q, priority), members)
  local size = #numbers
  add(q.v, P[priority], -size)
  add(q.v, W[priority], -size)
  add(q.v, 'available', -size)
  add(q.v, 'running', size)
  return size
end

-- Most bytes of records in one answer, about; whoever claims next goes on.
local MOST_BYTES = 16 * 1024 * 1024

-- How many may be read at once, going by the size of those before.
local function mostOf(to)
  local size = #to.records
  if size == 0 then return 16 end
  return math.max(1, math.min(1000, math.floor((MOST_BYTES - to.bytes) / (to.bytes / size))))
end

-- At most `limit` jobs whose turn it is, now running; how many. To be promoted first. `to` gets them: numbers, records and
-- statuses by place, '' for what runs for the first time of all, and the claims of all others; `bytes` of the records.
local function take(q, limit, server, to)
  local room, count = math.min(limit, roomIn(q)), 0
  while count < room and to.bytes < MOST_BYTES do
    local key
    if hasKeys(q) then
      keys.check(q)
      key = keys.first(q)
    end
    local number, priority, isLate = firstPlain(q)
    if not number and not key then break end
    local from = #to.records
    local all, late = q.v[P[priority or 0]], q.v[W[priority or 0]]
    local most = math.min(room - count, mostOf(to))
    if not key and late == 0 then
      count = count + takeFresh(q, priority, math.min(most, all), server, to)
    elseif not key and late == all then
      count = count + takeLate(q, priority, math.min(most, late), server, to)
    else
      local job = loadLive(key and keys.turn(q, key, number, priority) or number)
      hand(job, start(job, server), to)
      arrange()
      count = count + 1
    end
    for i = from + 1, #to.records do to.bytes = to.bytes + #to.records[i] end
  end
  if q.settings.rate and count > 0 then q.v.fullAt = taken(q.settings.rate, q.v.fullAt, count) end
  return count
end

-- After a claim that left some room: when there may be more without anybody doing anything; nil: never.
local function nextAtOf(q)
  local settings, v = q.settings, q.v
  if settings.paused or (settings.concurrency and v.running >= settings.concurrency) then return nil end
  local at = math.huge
  local isKeyed = hasKeys(q)
  if firstPlain(q) or (isKeyed and keys.first(q)) then
    at = now
  else
    local due = v.scheduled + v.retryable > 0 and call('ZRANGE', prefix .. 'due:' .. q.no, 0, 0, 'WITHSCORES') or {}
    at = math.min(tonumber(due[2]) or math.huge, isKeyed and keys.nextPermit(q) or math.huge)
  end
  if at == math.huge then return nil end
  local allowed = now
  if settings.rate and permits(settings.rate, v.fullAt) < 1 then allowed = nextPermit(settings.rate, v.fullAt) end
  return math.max(now + 1, at, allowed)
end
