-- A server as others see it: many workers, each with one job at most. A worker is a slot, whose number stands in its name; the
-- job that it has is told from those before by the number of the call that claimed it. Both are texts here, as numbers cost more;
-- the token of a claim is made of them outside.
--
-- THE RECORD IS THE JOB: what `worker:<name>` says is all that keeps a claimed job. It is what Ruby and Go expect there, with
-- two more members; `worker` is for node-resque, which has the name without the queues there:
--
--   {"queue":"q","run_at":"…","worker":"…","payload":{"class":…,"args":…},"millrace":[number,attempt,crashes,wrapped]}

local SLOTS = 8192

local function findServer(id)
  local fields = call('HMGET', own .. 'server:' .. id, 'head', 'tail', 'goworker', 'once')
  if not fields[1] then return end
  return { id = id, head = fields[1], tail = fields[2], goworker = fields[3] == '1', once = fields[4] == '1' }
end

local function workerOf(server, slot) return server.head .. slot .. server.tail end

-- What is the same in the records of all jobs of a queue that are claimed together.
local function frameOf(server, queue, runAt, number)
  local head = '{"queue":' .. quote(queue) .. ',"run_at":"' .. runAt .. '","worker":' .. string.sub(quote(server.head), 1, -2)
  local tail = ',"millrace":[' .. number .. ','
  return { head = head, tail = tail, fresh = tail .. '1,0,0]}' }
end

-- What looks like a job stands there without having been read, as reading it costs more than all else. If it is none after all,
-- the process that claimed it finds out at once, and it goes to `failed`, where it is wrapped.
local function hold(frame, bytes, slot, attempt, crashes)
  local looksRight = string.sub(bytes, 1, 10) == '{"class":"' and string.sub(bytes, -1) == '}'
  local text, wrapped = bytes, 0
  if not looksRight then text, wrapped = shown(bytes) end
  local tail = frame.fresh
  if attempt > 1 or crashes > 0 or wrapped > 0 then
    tail = frame.tail .. attempt .. ',' .. crashes .. ',' .. wrapped .. ']}'
  end
  return frame.head .. slot .. '","payload":' .. text .. tail
end

-- The number of the call that claimed; nil for what is no record of ours.
local function numberOf(record) return string.match(record, ',"millrace":%[(%d+),%d+,%d+,%d%]}$', -80) end

local endsOf = {}

-- Whether a record is that of this claim. Most are of jobs that came for the first time, and end alike.
local function isOf(record, number)
  local finish = endsOf[number]
  if not finish then
    finish = ',"millrace":[' .. number .. ',1,0,0]}'
    endsOf[number] = finish
  end
  return string.sub(record, -#finish) == finish or numberOf(record) == number
end

-- The queue of a record of ours. A quote within it is escaped, so it ends with the first that looks like the end.
local function queueOf(record)
  local name = string.match(record, '^{"queue":"([^"\\]*)"')
  if name then return name end
  local finish = string.find(record, '","run_at":"', 1, true)
  return cjson.decode('[' .. string.sub(record, 10, finish) .. ']')[1]
end

-- nil for what is no record of ours.
local function held(record, slot)
  local number, attempt, crashes, wrapped =
    string.match(record, ',"millrace":%[(%d+),(%d+),(%d+),(%d)%]}$', -80)
  if not number then return end
  local _, before = string.find(record, '","payload":', 1, true)
  local size = string.len(',"millrace":[' .. number .. ',' .. attempt .. ',' .. crashes .. ',0]}')
  local text = string.sub(record, before + 1, -size - 1)
  return { number = number, slot = slot, attempt = tonumber(attempt), crashes = tonumber(crashes), queue = queueOf(record),
    bytes = wrapped == '1' and unwrapped(text) or text }
end

-- In the order in which they were claimed: those of one call in that of their slots.
local function byClaim(a, b)
  if a.number ~= b.number then return tonumber(a.number) < tonumber(b.number) end
  return tonumber(a.slot) < tonumber(b.slot)
end

local function enlist(server, name)
  call('SET', prefix .. 'worker:' .. name .. ':started', moment(now, server.goworker and form.go or form.ruby))
  if server.goworker then
    call('SET', prefix .. 'stat:processed:' .. name, 0)
    call('SET', prefix .. 'stat:failed:' .. name, 0)
  else
    call('HSET', prefix .. 'workers:heartbeat', name, moment(now, form.iso))
  end
end

-- Up to `count` more workers. A name that somebody else has is left to him: he may hold a job.
local function grow(server, count)
  local size = call('LLEN', own .. 'slots:' .. server.id)
  local last = size > 0 and tonumber(call('LINDEX', own .. 'slots:' .. server.id, -1)) or -1
  local slots = {}
  while #slots < count and last < SLOTS - 1 do
    last = last + 1
    local name = workerOf(server, last)
    if call('SADD', prefix .. 'workers', name) == 1 then
      enlist(server, name)
      slots[#slots + 1] = last
    end
  end
  many('RPUSH', own .. 'slots:' .. server.id, slots)
  return slots
end

-- Slots for `count` jobs, fewer when there are no more, lowest first.
local function slotsFor(server, count)
  if count == 0 then return {} end
  local slots = call('RPOP', own .. 'free:' .. server.id, count) or {}
  if #slots < count then
    for _, slot in ipairs(grow(server, count - #slots)) do slots[#slots + 1] = tostring(slot) end
  end
  -- Sorting numbers is ten times as fast as sorting texts by a function, and the texts are at hand.
  local numbers, texts = {}, {}
  for i, slot in ipairs(slots) do
    numbers[i] = tonumber(slot)
    texts[numbers[i]] = slot
  end
  table.sort(numbers)
  for i, number in ipairs(numbers) do slots[i] = texts[number] end
  return slots
end

-- What this server holds, in the order of the claims, with the slot.
local function allHeld(server)
  local all = {}
  for _, slot in ipairs(call('LRANGE', own .. 'slots:' .. server.id, 0, -1)) do
    local record = call('GET', prefix .. 'worker:' .. workerOf(server, slot))
    all[#all + 1] = record and held(record, slot) or nil
  end
  table.sort(all, byClaim)
  return all
end

-- ---- orders to running jobs ---------------------------------------------------------------------------------------------

local ORDERS = own .. 'orders'

-- Why the job of this worker should stop; nil for most.
local function reasonFor(worker, number)
  local packed = call('HGET', ORDERS, worker)
  local its = packed and cmsgpack.unpack(packed)
  return its and its[1] == number and its[2] or nil
end

local function cancelled(queue, bytes, worker, reason, goworker)
  fail(queue, bytes, worker, { '"Millrace::Cancelled"', quote(reason), 'null' }, goworker)
end

-- To the heads of their queues, in the order in which they were claimed. Those that somebody has cancelled end here.
local function handBack(server, jobs)
  table.sort(jobs, byClaim)
  for i = #jobs, 1, -1 do
    local job = jobs[i]
    local worker = workerOf(server, job.slot)
    local reason = reasonFor(worker, job.number)
    if reason then
      cancelled(job.queue, job.bytes, worker, reason, server.goworker)
    else
      putBack(job.queue, job.bytes)
      note(job.queue, job.bytes, job.attempt, job.crashes)
    end
  end
end

-- Nothing of it is left.
local function dismiss(server)
  local names, keys = {}, { own .. 'server:' .. server.id, own .. 'slots:' .. server.id, own .. 'free:' .. server.id }
  local slots = call('LRANGE', own .. 'slots:' .. server.id, 0, -1)
  if server.goworker then slots[#slots + 1] = 'poller' end
  for i, slot in ipairs(slots) do
    local name = workerOf(server, slot)
    names[i] = name
    for _, key in ipairs({ 'worker:' .. name, 'worker:' .. name .. ':started', 'stat:processed:' .. name, 'stat:failed:' .. name }) do
      keys[#keys + 1] = prefix .. key
    end
  end
  many('SREM', prefix .. 'workers', names)
  many('HDEL', prefix .. 'workers:heartbeat', names)
  many('HDEL', ORDERS, names)
  many('DEL', nil, keys)
  call('ZREM', own .. 'beats', server.id)
end
