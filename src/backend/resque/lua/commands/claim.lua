-- Hands jobs to a server: out of the queue and into the worker's record in one step, so that no job is ever nowhere.
--
-- ask.server, ask.queues, ask.limit; ask.claimer and ask.turn name the call, ask.lost those before it whose answers never came:
-- what they gave goes back first. The answer: `runs`: place of the queue, number of the claim and how many, …; slots and payloads of
-- all of them in this order; `noted`: place, attempt, crashes, … of those that did not come for the first time; `nextAt`.

local server = findServer(ask.server)
if not server then return failure('SERVER_UNKNOWN', ask.server) end

local given = own .. 'answers:' .. ask.claimer
local to = { runs = {}, slots = {}, payloads = {}, noted = {} }

local function give(bytes, slot, attempt, crashes)
  local at = #to.slots + 1
  to.slots[at], to.payloads[at] = slot, bytes
  if attempt > 1 or crashes > 0 then
    for _, value in ipairs({ at, attempt, crashes }) do to.noted[#to.noted + 1] = value end
  end
end

local function giveRun(place, number, count)
  for _, value in ipairs({ place, number, count }) do to.runs[#to.runs + 1] = value end
end

-- The number of the claim that was kept last in this field, -1 for none, and what it gave.
local function keptIn(name)
  local packed = call('HGET', given, name)
  if not packed then return -1 end
  return struct.unpack('>d', packed), cmsgpack.unpack(string.sub(packed, 9))
end

local function keep(turn, runs, slots)
  call('HSET', given, 'c' .. turn % 16, struct.pack('>d', turn) .. cmsgpack.pack({ runs = runs, slots = slots }))
  call('PEXPIRE', given, 300000)
end

-- Calls `visit` with each job that a claim gave and that is still held; `close`, if there is one, behind each of its runs.
local function revisit(first, visit, close)
  local from = 1
  for i = 1, #first.runs, 3 do
    local place, number, count = first.runs[i], first.runs[i + 1], first.runs[i + 2]
    for at = from, from + count - 1 do
      local record = call('GET', prefix .. 'worker:' .. workerOf(server, first.slots[at]))
      local job = record and isOf(record, tostring(number)) and held(record, first.slots[at])
      if job then visit(job) end
    end
    if close then close(place, number) end
    from = from + count
  end
end

local last, first = keptIn('c' .. ask.turn % 16)
if last >= ask.turn then
  -- Sent again: what the first try gave. The payloads were not kept a second time. One that comes too late gives nothing.
  if last == ask.turn then
    local before = 0
    revisit(first, function(job) give(job.bytes, job.slot, job.attempt, job.crashes) end, function(place, number)
      giveRun(place, number, #to.slots - before)
      before = #to.slots
    end)
  end
  to.nextAt = now
  return answer(to)
end

local back = {}
for _, turn in ipairs(ask.lost) do
  local was, its = keptIn('c' .. turn % 16)
  if was == turn then revisit(its, function(job) back[#back + 1] = job end) end
  -- It may still arrive, and then it gives nothing.
  if was <= turn then keep(turn, {}, {}) end
end
handBack(server, back)
for _, job in ipairs(back) do
  local worker = workerOf(server, job.slot)
  call('DEL', prefix .. 'worker:' .. worker)
  if server.goworker then call('DEL', prefix .. 'worker:' .. worker .. ':started') end
  call('HDEL', ORDERS, worker)
  call('RPUSH', own .. 'free:' .. server.id, job.slot)
end

-- As Resque reads it: in any case, with room around it.
local paused = call('GET', prefix .. 'pause-all-workers')
if paused and string.lower(string.match(paused, '^%s*(.-)%s*$')) == 'true' then return answer(to) end

local more = promote()
local hasNotes = call('EXISTS', NOTES) == 1
local runAt = moment(now, server.goworker and form.rfc3339 or form.iso)
local settings = call('EXISTS', own .. 'settings') == 1

for place, queue in ipairs(ask.queues) do
  local left = ask.limit - #to.slots
  local its = settings and call('HGET', own .. 'settings', queue)
  local isPaused = its and cmsgpack.unpack(its).paused
  local length = left > 0 and not isPaused and call('LLEN', prefix .. 'queue:' .. queue) or 0
  local slots = slotsFor(server, math.min(left, length))
  if #slots < math.min(left, length) then more = true end
  if #slots > 0 then
    local all = call('LPOP', prefix .. 'queue:' .. queue, #slots)
    local number = call('INCR', own .. 'claimed')
    local frame = frameOf(server, queue, runAt, number)
    local records = {}
    giveRun(place, number, #slots)
    for i, bytes in ipairs(all) do
      local its = hasNotes and takeNote(queue, bytes)
      local attempt, crashes = its and its[1] or 1, its and its[2] or 0
      records[2 * i - 1] = prefix .. 'worker:' .. workerOf(server, slots[i])
      records[2 * i] = hold(frame, bytes, slots[i], attempt, crashes)
      give(bytes, slots[i], attempt, crashes)
      if server.goworker then call('SET', records[2 * i - 1] .. ':started', moment(now, form.go)) end
    end
    many('MSET', nil, records)
  end
end

if #to.slots > 0 then
  keep(ask.turn, to.runs, to.slots)
  if server.goworker then call('INCRBY', prefix .. 'stat:processed:' .. workerOf(server, 'poller'), #to.slots) end
end
if #to.slots < ask.limit then
  local first = call('ZRANGE', SCHEDULE, 0, 0)[1]
  to.nextAt = more and now or first and math.max(now, first * 1000) or nil
end
return answer(to)
