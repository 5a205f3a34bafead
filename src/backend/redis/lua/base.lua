-- What every script begins with: what was asked, the moment, and how jobs, queues and servers are kept.
--
-- Keys of a shard, all behind its hash tag (KEYS[1], '{tag}:'):
--
--   store          the store's part of the ids                number          the last arrival number given
--   page:<page>    records (what a job is), 256 to a page     gone:<page>     those of a page that are no more
--   pages          the pages there are                        status          number -> status (how it stands), see below
--   extras         number -> msgpack: errors, progress, …     log:<number>    list of log lines
--   own            a caller's own id -> number
--   template(s)    queue, name, priority, attempts <-> number queue(s)        name <-> number
--   q:<queue>      counts, settings, turns of a queue         fresh:, late:, due:, ended:, expiring:   see queue.lua
--   keys:, heads:, …  see keys.lua                            unique:, traces:                         see uniques.lua
--   servers, server(s), beats, held:<server>                  schedules, ticks, events, once, …        see the commands
--
-- A job is two strings: its record, written once, and its status, which is absent while the job stands in the line that
-- it joined when it was added (`fresh:`). So an add writes one string per job, and a claim writes the same status for all
-- that it takes from such a line.
--
-- Records lie in lists in order of arrival: measured against a hash by number this costs a third less at a million jobs,
-- the same at any number of them, and 40 bytes less per job, and by number it is still one LINDEX (bench/redis/layouts.ts).
-- A page goes when all of it is done; what is done in a living page is only noted.

local call = redis.call
local prefix = KEYS[1]
local ask = cmsgpack.unpack(ARGV[1])

-- The server's clock, ms; tests bring their own.
local now = ask.now
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A call that was sent again, because its answer got lost, is answered as the first time. The last 64 answers of a process
-- are kept, and a process has fewer calls under way.
local answers = ask.who and prefix .. 'answers:' .. ask.who
if answers then
  local seen = call('HGET', answers, ask.turn % 64)
  if seen and struct.unpack('>d', seen) == ask.turn then return string.sub(seen, 9) end
end

local STATUS, EXTRAS, OWN = prefix .. 'status', prefix .. 'extras', prefix .. 'own'

-- ---- small things ----------------------------------------------------------------------------------------------------

-- Fixed width, so that members of a sorted set with equal scores stand in order of arrival.
local function pad(number) return string.format('%013d', number) end

-- As an argument: Redis writes the numbers it is given as fractions, which takes three times as long.
local function text(number) return string.format('%d', number) end

local function texts(numbers)
  local all = {}
  for i, number in ipairs(numbers) do all[i] = text(number) end
  return all
end

local function isWaiting(state) return state == 'available' or state == 'scheduled' or state == 'retryable' end

local function isEnded(state) return state ~= 'running' and not isWaiting(state) end

-- A command with more arguments than one call of Lua may have. `list` is what follows the key.
local function many(command, key, list)
  local size = #list
  if size == 0 then return end
  if size <= 4000 then return call(command, key, unpack(list)) end
  for from = 1, size, 4000 do call(command, key, unpack(list, from, math.min(from + 3999, size))) end
end

-- Values of the fields of a hash, in their order; false for what is not there.
local function values(key, fields)
  local size = #fields
  if size == 0 then return {} end
  if size <= 4000 then return call('HMGET', key, unpack(fields)) end
  local all = {}
  for from = 1, size, 4000 do
    local to = math.min(from + 3999, size)
    local some = call('HMGET', key, unpack(fields, from, to))
    for i = 1, to - from + 1 do all[from + i - 1] = some[i] end
  end
  return all
end

-- A list of place, value, place, value, … as a table: maps come with texts for names.
local function sparse(list)
  local all = {}
  for i = 1, #(list or {}), 2 do all[list[i]] = list[i + 1] end
  return all
end

local function failure(code, detail) return redis.error_reply('MILLRACE ' .. code .. ' ' .. (detail or '')) end

-- ---- pages: the records, in order of arrival ---------------------------------------------------------------------------

local PAGE = 256

-- Numbers for `count` new jobs, the first of them.
local function newNumbers(count) return call('INCRBY', prefix .. 'number', count) - count end

-- The records of the numbers from `from` on, which are new.
local function putRecords(from, records)
  local at, size = 1, #records
  while at <= size do
    local place = from % PAGE
    local some = math.min(size - at + 1, PAGE - place)
    local page = (from - place) / PAGE
    if place == 0 then call('ZADD', prefix .. 'pages', page, page) end
    call('RPUSH', prefix .. 'page:' .. page, unpack(records, at, at + some - 1))
    from, at = from + some, at + some
  end
end

-- Numbers of jobs that this script removes; written at its end.
local removed, removedAll = {}, {}

-- False for a job that is no more.
local function recordOf(number)
  if removed[number] then return false end
  local place = number % PAGE
  local page = (number - place) / PAGE
  if call('SISMEMBER', prefix .. 'gone:' .. page, place) == 1 then return false end
  return call('LINDEX', prefix .. 'page:' .. page, place)
end

-- Of a job that is known to be there.
local function liveRecordOf(number)
  local place = number % PAGE
  return call('LINDEX', prefix .. 'page:' .. (number - place) / PAGE, place)
end

-- Of jobs that are known to be there: neighbours are read together.
local function recordsOf(numbers)
  local records, size, at = {}, #numbers, 1
  while at <= size do
    local first = numbers[at]
    local place = first % PAGE
    local run = 1
    while at + run <= size and numbers[at + run] == first + run and place + run < PAGE do run = run + 1 end
    local key = prefix .. 'page:' .. (first - place) / PAGE
    if run == 1 then
      records[at] = call('LINDEX', key, place)
    else
      local some = call('LRANGE', key, place, place + run - 1)
      for i = 1, run do records[at + i - 1] = some[i] end
    end
    at = at + run
  end
  return records
end

local function replaceRecord(number, record)
  local place = number % PAGE
  call('LSET', prefix .. 'page:' .. (number - place) / PAGE, place, record)
end

local function removeRecord(number)
  removed[number] = true
  removedAll[#removedAll + 1] = number
end

local function saveRemoved()
  local byPage = {}
  for _, number in ipairs(removedAll) do
    local place = number % PAGE
    local page = (number - place) / PAGE
    local places = byPage[page]
    if places then places[#places + 1] = text(place) else byPage[page] = { text(place) } end
  end
  for page, places in pairs(byPage) do
    local gone = prefix .. 'gone:' .. page
    call('SADD', gone, unpack(places))
    local size = call('LLEN', prefix .. 'page:' .. page)
    if call('SCARD', gone) == size then
      call('DEL', gone, prefix .. 'page:' .. page)
      call('ZREM', prefix .. 'pages', page)
      -- The rest of the last page is left out: a page begins with its first number.
      if size < PAGE then call('SET', prefix .. 'number', (page + 1) * PAGE) end
    end
  end
end

-- ---- queues ----------------------------------------------------------------------------------------------------------

local defaults = {
  paused = false,
  keys = { concurrency = 1, onFailure = 'block', weights = {} },
  maxCrashes = 3,
  retention = {
    completed = { count = 10000, age = 30 * 86400000 },
    discarded = { count = 10000, age = 180 * 86400000 },
    cancelled = { count = 1000, age = 7 * 86400000 },
    quarantined = { count = 10000, age = 180 * 86400000 },
  },
  events = 0,
}

-- Names of a queue's numbers by priority, so that they need not be made each time.
local P, W, X, H, LAST = {}, {}, {}, {}, {}
for priority = 0, 9 do
  P[priority], W[priority], X[priority] = 'p' .. priority, 'w' .. priority, 'x' .. priority
  H[priority], LAST[priority] = 'h' .. priority, 'l' .. priority
end

local zero = { __index = function() return 0 end }
local loaded = {}

-- A queue by its number. `q.v` are its numbers, 0 where nothing was written:
--   scheduled available running retryable discarded cancelled quarantined   jobs in that state
--   kept        completed jobs that are kept             completed   jobs that completed, ever
--   p0 … p9     available jobs without a key             w0 … w9     those of them in `late:`
--   x0 … x9     dead entries in `fresh:`                 l0 … l9     runAt of the last entry in `fresh:`
--   plain       jobs without a key that wait or run      fullAt      the bucket of its rate
--   virtual finish h0 … h9 timed                         see keys.lua
local function queue(no)
  local q = loaded[no]
  if q then return q end
  local flat = call('HGETALL', prefix .. 'q:' .. no)
  local v, was = {}, {}
  q = { no = no, v = setmetatable(v, zero), was = was, settings = defaults }
  for i = 1, #flat, 2 do
    local field, value = flat[i], flat[i + 1]
    if field == 'name' then
      q.name = value
    elseif field == 'settings' then
      q.settings = cmsgpack.unpack(value)
    else
      v[field] = tonumber(value)
      was[field] = v[field]
    end
  end
  loaded[no] = q
  return q
end

local function findQueue(name)
  local no = call('HGET', prefix .. 'queues', name)
  return no and queue(tonumber(no))
end

local function queueOf(name)
  local q = findQueue(name)
  if q then return q end
  local no = call('HLEN', prefix .. 'queues') + 1
  call('HSET', prefix .. 'queues', name, no)
  call('HSET', prefix .. 'q:' .. no, 'name', name)
  q = queue(no)
  return q
end

-- Neither running nor ended.
local function waitingIn(q) return q.v.scheduled + q.v.available + q.v.retryable end

local function saveQueues()
  for no, q in pairs(loaded) do
    local changed = {}
    for field, value in pairs(q.v) do
      if q.was[field] ~= value then
        changed[#changed + 1] = field
        changed[#changed + 1] = value
      end
    end
    many('HSET', prefix .. 'q:' .. no, changed)
  end
end

-- ---- templates: what most jobs of a kind have in common ---------------------------------------------------------------

local templates = {}

-- { queue number, name, priority, maxAttempts }
local function template(no)
  local known = templates[no]
  if not known then
    known = cmsgpack.unpack(call('HGET', prefix .. 'template', no))
    templates[no] = known
  end
  return known
end

local function templateOf(queueNo, name, priority, maxAttempts)
  local packed = cmsgpack.pack({ queueNo, name, priority, maxAttempts })
  local no = call('HGET', prefix .. 'templates', packed)
  if no then return tonumber(no) end
  no = call('HLEN', prefix .. 'templates') + 1
  call('HSET', prefix .. 'templates', packed, no)
  call('HSET', prefix .. 'template', no, packed)
  return no
end

-- ---- jobs ------------------------------------------------------------------------------------------------------------

local stateOf = { 'available', 'scheduled', 'retryable', 'running', 'completed', 'discarded', 'cancelled', 'quarantined' }
local codeOf = {}
for code, state in ipairs(stateOf) do codeOf[state] = code end

local STOPPED, EXTRA, ORDERED, BARE, LOGGED, MOVED = 1, 2, 4, 8, 16, 32

-- Whether more is to be done when the job completes than to forget it.
local function isInvolved(facts) return facts and (facts.id or facts.key or facts.unique or facts.keepFor) and true or false end

-- Record: flags (1: runAt follows, 2: facts follow, 4: they are involved), template, addedAt, [runAt], [length, facts as
-- msgpack], payload.
local function record(templateNo, addedAt, runAt, facts, payload)
  local flags = (runAt and 1 or 0) + (facts and 2 or 0) + (isInvolved(facts) and 4 or 0)
  local head = struct.pack('>BI3d', flags, templateNo, addedAt)
  if runAt then head = head .. struct.pack('>d', runAt) end
  if facts then
    local packed = cmsgpack.pack(facts)
    head = head .. struct.pack('>I4', #packed) .. packed
  end
  return head .. payload
end

-- Status: state, bits, queue, attempt, crashes, claim, server, runAt (if MOVED), startedAt, endedAt (0: never).
local function statusOf(job)
  local bits = (job.stopped and STOPPED or 0) + (job.extra and EXTRA or 0) + (job.ordered and ORDERED or 0)
    + (job.isBare and BARE or 0) + (job.logged and LOGGED or 0) + (job.moved and MOVED or 0)
  return struct.pack('>BBI3I4I3I4I4ddd', codeOf[job.state], bits, job.queue.no, job.attempt, job.crashes, job.claim,
    job.server or 0, job.runAt, job.startedAt or 0, job.endedAt or 0)
end

-- A job from its two strings. `facts`: id, key, tags, headers, keepFor, unique { key, period }; nil for most jobs.
local function decoded(number, rec, status)
  local flags, templateNo, addedAt, at = struct.unpack('>BI3d', rec)
  local runAt, facts = addedAt, nil
  if flags % 2 == 1 then runAt, at = struct.unpack('>d', rec, at) end
  if bit.band(flags, 2) > 0 then
    local length
    length, at = struct.unpack('>I4', rec, at)
    facts = cmsgpack.unpack(string.sub(rec, at, at + length - 1))
    at = at + length
  end
  local common = template(templateNo)
  local job = {
    number = number, record = rec, payloadAt = at, templateNo = templateNo, addedAt = addedAt, runAt = runAt, facts = facts,
    queue = queue(common[1]), name = common[2], priority = common[3], maxAttempts = common[4], key = facts and facts.key, isBare = flags < 4,
  }
  if status then
    local code, bits, _, attempt, crashes, claim, server, movedTo, startedAt, endedAt =
      struct.unpack('>BBI3I4I3I4I4ddd', status)
    job.state, job.attempt, job.crashes, job.claim, job.server = stateOf[code], attempt, crashes, claim, server
    job.startedAt, job.endedAt = startedAt, endedAt
    job.stopped = bit.band(bits, STOPPED) > 0
    job.extra = bit.band(bits, EXTRA) > 0
    job.ordered = bit.band(bits, ORDERED) > 0
    job.logged = bit.band(bits, LOGGED) > 0
    if bit.band(bits, MOVED) > 0 then job.moved, job.runAt = true, movedTo end
  else
    job.fresh, job.state, job.attempt, job.crashes, job.claim, job.server = true, 'available', 1, 0, 0, 0
  end
  return job
end

-- Statuses that this script writes (false: removes) and servers' jobs that change hands; written at its end, each once.
local statusWrites, heldWrites = {}, {}

local function readStatus(number)
  local written = statusWrites[number]
  if written ~= nil then return written end
  return call('HGET', STATUS, text(number))
end

local function readStatuses(numbers)
  local statuses = values(STATUS, texts(numbers))
  if next(statusWrites) then
    for i, number in ipairs(numbers) do
      local written = statusWrites[number]
      if written ~= nil then statuses[i] = written end
    end
  end
  return statuses
end

local function hold(server, number, isHeld)
  heldWrites[server] = heldWrites[server] or {}
  heldWrites[server][number] = isHeld
end

local function saveStatuses()
  local written, gone = {}, {}
  for number, status in pairs(statusWrites) do
    if status then
      written[#written + 1] = text(number)
      written[#written + 1] = status
    else
      gone[#gone + 1] = text(number)
    end
  end
  many('HSET', STATUS, written)
  many('HDEL', STATUS, gone)
  for server, numbers in pairs(heldWrites) do
    local new, old = {}, {}
    for number, isHeld in pairs(numbers) do
      local list = isHeld and new or old
      list[#list + 1] = text(number)
    end
    many('SADD', prefix .. 'held:' .. server, new)
    many('SREM', prefix .. 'held:' .. server, old)
  end
end

local function load(number)
  local rec = recordOf(number)
  return rec and decoded(number, rec, readStatus(number))
end

-- Of a job that is known to be there.
local function loadLive(number) return decoded(number, liveRecordOf(number), readStatus(number)) end

-- Jobs that are known to be there.
local function loadAll(numbers)
  local records, statuses, jobs = recordsOf(numbers), readStatuses(numbers), {}
  for i, number in ipairs(numbers) do jobs[i] = decoded(number, records[i], statuses[i]) end
  return jobs
end

-- The number behind what a caller names a job with: an arrival number, or an own id.
local function resolve(ref)
  if type(ref) == 'number' then return ref end
  local number = call('HGET', OWN, ref)
  return number and tonumber(number)
end

local function find(ref)
  local number = resolve(ref)
  return number and load(number)
end

-- What callers know the job by: an own id, or the number that the client makes an id of.
local function refOf(job) return job.facts and job.facts.id or job.number end

local function payloadOf(job) return string.sub(job.record, job.payloadAt) end

-- Notes what changes, and returns it. To be called for every job that has left `fresh:`.
local function save(job)
  job.fresh = nil
  local status = statusOf(job)
  statusWrites[job.number] = status
  return status
end

-- A new time; `runAt` is a whole number.
local function retime(job, runAt)
  job.runAt, job.moved = runAt, true
end

-- What has become of the job beside its status: errors, progress, result, order. `change` gets the table and edits it.
local function extras(job)
  local packed = job.extra and call('HGET', EXTRAS, job.number)
  return packed and cmsgpack.unpack(packed) or {}
end

local function saveExtras(job, extra)
  job.extra = next(extra) ~= nil
  if job.extra then
    call('HSET', EXTRAS, job.number, cmsgpack.pack(extra))
  else
    call('HDEL', EXTRAS, job.number)
  end
end

-- Adds to the history; the oldest entry falls out.
local function remember(job, error)
  local extra = extras(job)
  extra.errors = extra.errors or {}
  table.insert(extra.errors, error)
  if #extra.errors > 100 then table.remove(extra.errors, 1) end
  saveExtras(job, extra)
end

-- ---- who is told, and the end of a script -----------------------------------------------------------------------------

local heard = {}
-- What else is to be written before the answer.
local endings = {}

local function wake(q) heard['q:' .. q.name] = true end
local function news() heard['news'] = true end

-- Records an event if the queue records any. `text` may be nil.
local function tell(job, kind, text, attempt)
  local q = job.queue
  local keep = q.settings.events or 0
  if keep == 0 then return end
  local number = call('INCR', prefix .. 'event')
  local event = { number = number, at = now, queue = q.name, name = job.name, ref = refOf(job), kind = kind,
    attempt = attempt or job.attempt, text = text }
  call('ZADD', prefix .. 'events', number, pad(number) .. cmsgpack.pack(event))
  local line = prefix .. 'told:' .. q.no
  local extent = call('RPUSH', line, number)
  while extent > keep do
    local oldest = call('LPOP', line)
    call('ZREMRANGEBYSCORE', prefix .. 'events', oldest, oldest)
    extent = extent - 1
  end
  news()
end

-- The last words of a script: writes what was only noted, tells who listens, and packs the answer.
-- `kept`: what to answer a repeat with, if that is not the answer itself.
local function answer(value, kept)
  for _, write in ipairs(endings) do write() end
  saveQueues()
  saveStatuses()
  saveRemoved()
  for channel in pairs(heard) do call('PUBLISH', prefix .. channel, ask.by or '-') end
  local packed = cmsgpack.pack(value)
  if answers then
    call('HSET', answers, ask.turn % 64, struct.pack('>d', ask.turn) .. (kept or packed))
    call('PEXPIRE', answers, 300000)
  end
  return packed
end
