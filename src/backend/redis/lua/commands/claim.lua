-- Hands jobs to a server.
--
-- ask.server, ask.queues, ask.limit; ask.claimer and ask.turn name the call. The answer: numbers, records and statuses in
-- the same order ('' for a job that runs for the first time), and `nextAt`.

local server = call('HGET', prefix .. 'server', ask.server)
if not server then return failure('SERVER_UNKNOWN', ask.server) end
server = tonumber(server)

local to = { numbers = {}, records = {}, statuses = {}, bytes = 0 }
local given = prefix .. 'answers:' .. ask.claimer
local field = 'c' .. ask.turn % 16

-- Sent again: what the first try gave, as far as it is still held. The payloads were not kept a second time.
local seen = call('HGET', given, field)
if seen and struct.unpack('>d', seen) == ask.turn then
  for _, pair in ipairs(cmsgpack.unpack(string.sub(seen, 9))) do
    local job = load(pair[1])
    if job and job.state == 'running' and job.server == server and job.claim == pair[2] then
      to.numbers[#to.numbers + 1] = job.number
      to.records[#to.records + 1] = job.record
      to.statuses[#to.statuses + 1] = statusOf(job)
    end
  end
  return answer({ numbers = to.numbers, records = to.records, statuses = to.statuses, nextAt = now })
end

local nextAt = math.huge
for _, name in ipairs(ask.queues) do
  local q = #to.numbers < ask.limit and findQueue(name)
  if q then
    promote(q)
    take(q, ask.limit - #to.numbers, server, to)
    if #to.numbers < ask.limit then nextAt = math.min(nextAt, nextAtOf(q) or math.huge) end
  end
end

local pairsGiven = {}
for i, number in ipairs(to.numbers) do
  local status = to.statuses[i]
  pairsGiven[i] = { number, status == '' and 1 or select(6, struct.unpack('>BBI3I4I3I4', status)) }
end
if #pairsGiven > 0 then
  call('HSET', given, field, struct.pack('>d', ask.turn) .. cmsgpack.pack(pairsGiven))
  call('PEXPIRE', given, 300000)
end

local isShort = #to.numbers < ask.limit and nextAt < math.huge
return answer({ numbers = to.numbers, records = to.records, statuses = to.statuses, nextAt = isShort and nextAt or nil })
