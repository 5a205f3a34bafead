-- Hands jobs to a server: out of the queue and into the worker's record in one step, so that no job is ever nowhere.
--
-- ask.server, ask.queues, ask.limit; ask.claimer and ask.turn name the call. The answer: queues (places in ask.queues), payloads
-- and claims in the same order; `noted`: place, attempt, crashes, … of those that did not come for the first time; `nextAt`.

local server = findServer(ask.server)
if not server then return failure('SERVER_UNKNOWN', ask.server) end

local given = own .. 'answers:' .. ask.claimer
local field = 'c' .. ask.turn % 16
local to = { queues = {}, payloads = {}, claims = {}, noted = {} }

local function give(place, bytes, claim, attempt, crashes)
  local at = #to.claims + 1
  to.queues[at], to.payloads[at], to.claims[at] = place, bytes, claim
  if attempt > 1 or crashes > 0 then
    for _, value in ipairs({ at, attempt, crashes }) do to.noted[#to.noted + 1] = value end
  end
end

-- Sent again: what the first try gave, as far as it is still held. The payloads were not kept a second time.
local seen = call('HGET', given, field)
if seen and struct.unpack('>d', seen) == ask.turn then
  local places = {}
  for place, queue in ipairs(ask.queues) do places[queue] = place end
  for _, claim in ipairs(cmsgpack.unpack(string.sub(seen, 9))) do
    local record = call('GET', prefix .. 'worker:' .. workerOf(server, claim % SLOTS))
    local job = record and held(record)
    if job and job.claim == claim then give(places[job.queue], job.bytes, claim, job.attempt, job.crashes) end
  end
  to.nextAt = now
  return answer(to)
end

-- As Resque reads it: in any case, with room around it.
local paused = call('GET', prefix .. 'pause-all-workers')
if paused and string.lower(string.match(paused, '^%s*(.-)%s*$')) == 'true' then return answer(to) end

local more = promote()
local hasNotes = call('EXISTS', NOTES) == 1
local runAt = moment(now, server.goworker and form.rfc3339 or form.iso)
local settings = call('EXISTS', own .. 'settings') == 1

for place, queue in ipairs(ask.queues) do
  local left = ask.limit - #to.claims
  local its = settings and call('HGET', own .. 'settings', queue)
  local isPaused = its and cmsgpack.unpack(its).paused
  local length = left > 0 and not isPaused and call('LLEN', prefix .. 'queue:' .. queue) or 0
  local slots = slotsFor(server, math.min(left, length))
  if length > 0 and #slots < math.min(left, length) then more = true end
  if #slots > 0 then
    local all = call('LPOP', prefix .. 'queue:' .. queue, #slots)
    local number = call('INCR', own .. 'claimed')
    local records = {}
    for i, bytes in ipairs(all) do
      local claim = number * SLOTS + slots[i]
      local its = hasNotes and takeNote(queue, bytes)
      local attempt, crashes = its and its[1] or 1, its and its[2] or 0
      records[2 * i - 1] = prefix .. 'worker:' .. workerOf(server, slots[i])
      records[2 * i] = hold(server, queue, bytes, claim, attempt, crashes, runAt)
      give(place, bytes, claim, attempt, crashes)
      if server.goworker then call('SET', records[2 * i - 1] .. ':started', moment(now, form.go)) end
    end
    many('MSET', nil, records)
  end
end

if #to.claims > 0 then
  call('HSET', given, field, struct.pack('>d', ask.turn) .. cmsgpack.pack(to.claims))
  call('PEXPIRE', given, 300000)
  if server.goworker then call('INCRBY', prefix .. 'stat:processed:' .. workerOf(server, 'poller'), #to.claims) end
end
if #to.claims < ask.limit then
  local first = call('ZRANGE', SCHEDULE, 0, 0)[1]
  to.nextAt = more and now or first and math.max(now, first * 1000) or nil
end
return answer(to)
