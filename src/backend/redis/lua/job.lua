-- A job is two strings: its record, written once, and its status, which is absent while the job stands in the line that
-- it joined when it was added (`fresh:`). So an add writes one string per job, and a claim writes the same status for all
-- that it takes from such a line.

local stateOf = { 'available', 'scheduled', 'retryable', 'running', 'completed', 'discarded', 'cancelled', 'quarantined' }
local codeOf = { available = 1, scheduled = 2, retryable = 3, running = 4, completed = 5, discarded = 6, cancelled = 7,
  quarantined = 8 }

local STOPPED, EXTRA, ORDERED, BARE, LOGGED, MOVED = 1, 2, 4, 8, 16, 32

-- Whether more is to be done when the job completes than to forget it.
local function isInvolved(facts) return facts and (facts.id or facts.key or facts.unique or facts.keepFor) and true or false end

-- Record: flags (1: runAt follows, 2: facts follow, 4: they are involved, 8: a stamp follows), template, addedAt, [runAt],
-- [stamp], [length, facts as msgpack], payload.
local function record(templateNo, addedAt, runAt, facts, payload, stamp)
  local flags = (runAt and 1 or 0) + (facts and 2 or 0) + (isInvolved(facts) and 4 or 0) + (stamp and 8 or 0)
  local head = struct.pack('>BI3d', flags, templateNo, addedAt)
  if runAt then head = head .. struct.pack('>d', runAt) end
  if stamp then head = head .. struct.pack('>d', stamp) end
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
  local runAt, stamp, facts = addedAt, nil, nil
  if flags % 2 == 1 then runAt, at = struct.unpack('>d', rec, at) end
  if flags >= 8 then stamp, at = struct.unpack('>d', rec, at) end
  if bit.band(flags, 2) > 0 then
    local length
    length, at = struct.unpack('>I4', rec, at)
    facts = cmsgpack.unpack(string.sub(rec, at, at + length - 1))
    at = at + length
  end
  local common = template(templateNo)
  local job = {
    number = number, record = rec, payloadAt = at, templateNo = templateNo, addedAt = addedAt, runAt = runAt, facts = facts,
    queue = queue(common[1]), name = common[2], priority = common[3], maxAttempts = common[4], key = facts and facts.key,
    isBare = bit.band(flags, 4) == 0, stamp = stamp,
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

local function isHeldBy(status, server, claim)
  local code, _, _, _, _, itsClaim, holder = struct.unpack('>BBI3I4I3I4I4', status)
  return stateOf[code] == 'running' and holder == server and itsClaim == claim
end

-- Statuses that this script writes (false: removes) and servers' jobs that change hands; written at its end, each once.
local statusWrites, heldWrites
onStart(function() statusWrites, heldWrites = {}, {} end)

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

-- The same status for many untouched jobs, at once; `names` are their numbers as texts.
local function writeStatuses(names, status)
  local written = {}
  for i, name in ipairs(names) do
    written[2 * i - 1] = name
    written[2 * i] = status
  end
  many('HSET', STATUS, written)
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

-- What has become of the job beside its status: errors, progress, result, order.
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
