-- A server as others see it: many workers, each with one job at most. A worker is a slot: its number stands in its name and in
-- the claim number of its job, so a claim number leads to the record.
--
-- THE RECORD IS THE JOB: what `worker:<name>` says is all that keeps a claimed job. It is what Ruby and Go expect there, with
-- two more members:
--
--   {"queue":"q","run_at":"…","worker":"…","payload":{"class":…,"args":…},
--    "millrace":[claim,payload size,queue size,attempt,crashes,wrapped]}
--
-- `worker` is for node-resque, which has the name without the queues there.

local SLOTS = 8192

local function findServer(id)
  local fields = call('HMGET', own .. 'server:' .. id, 'head', 'tail', 'goworker', 'once')
  if not fields[1] then return end
  return { id = id, head = fields[1], tail = fields[2], goworker = fields[3] == '1', once = fields[4] == '1' }
end

local function workerOf(server, slot) return server.head .. slot .. server.tail end

local function hold(server, queue, bytes, claim, attempt, crashes, runAt)
  local name = quote(queue)
  local text, wrapped = shown(bytes)
  return table.concat({ '{"queue":', name, ',"run_at":"', runAt, '","worker":', quote(server.head .. claim % SLOTS), ',"payload":', text,
    string.format(',"millrace":[%.0f,%d,%d,%d,%d,%d]}', claim, #text, #name, attempt, crashes, wrapped) })
end

-- nil for what is no record of ours.
local function held(record)
  local tail = string.sub(record, -110)
  local at, _, claim, size, nameSize, attempt, crashes, wrapped =
    string.find(tail, ',"millrace":%[(%d+),(%d+),(%d+),(%d+),(%d+),(%d)%]}$')
  if not at then return end
  local finish = #record - #tail + at - 1
  local text = string.sub(record, finish - size + 1, finish)
  local name = string.sub(record, 10, 9 + nameSize)
  return { claim = tonumber(claim), attempt = tonumber(attempt), crashes = tonumber(crashes), text = text,
    bytes = wrapped == '1' and unwrapped(text) or text, wrapped = wrapped == '1',
    queue = string.find(name, '\\', 1, true) and cjson.decode('[' .. name .. ']')[1] or string.sub(name, 2, -2) }
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
  local slots = call('LPOP', own .. 'free:' .. server.id, count) or {}
  for i, slot in ipairs(slots) do slots[i] = tonumber(slot) end
  if #slots < count then
    for _, slot in ipairs(grow(server, count - #slots)) do slots[#slots + 1] = slot end
  end
  table.sort(slots)
  return slots
end

-- What this server holds, in the order of the claims, with the slot.
local function allHeld(server)
  local all = {}
  for _, slot in ipairs(call('LRANGE', own .. 'slots:' .. server.id, 0, -1)) do
    local record = call('GET', prefix .. 'worker:' .. workerOf(server, slot))
    local job = record and held(record)
    if job then
      job.slot = slot
      all[#all + 1] = job
    end
  end
  table.sort(all, function(a, b) return a.claim < b.claim end)
  return all
end

-- ---- orders to running jobs ---------------------------------------------------------------------------------------------

local ORDERS = own .. 'orders'

-- Why the job of this worker should stop; nil for most.
local function reasonFor(worker, claim)
  local packed = call('HGET', ORDERS, worker)
  local its = packed and cmsgpack.unpack(packed)
  return its and its[1] == claim and its[2] or nil
end

local function cancelled(queue, text, worker, reason, goworker)
  fail(queue, text, worker, { '"Millrace::Cancelled"', quote(reason), 'null' }, goworker)
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
