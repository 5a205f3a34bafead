-- Hands jobs to a server.
--
-- ask.server, ask.queues, ask.limit; ask.claimer and ask.turn name the call, ask.lost those before it whose answers never came.
-- The answer: numbers, records and statuses in the same order ('' for a job that runs for the first time), `now`, `nextAt`,
-- and `lost`: those calls of which there is still something to be given.

local server = call('HGET', prefix .. 'server', ask.server)
if not server then return failure('SERVER_UNKNOWN', ask.server) end
server = tonumber(server)

local to = { numbers = {}, records = {}, statuses = {}, claims = {}, bytes = 0 }

-- What calls have given: numbers, and the claim of each (none: the first of all), without the payloads. The latest 16, and what
-- is left of lost ones.
local given = prefix .. 'answers:' .. ask.claimer
local function fieldOf(turn) return 'c' .. turn % 16 end
local function leftOf(turn) return 'l' .. turn end

local function remember(field, turn, jobs)
  call('HSET', given, field, struct.pack('>d', turn) .. cmsgpack.pack(jobs))
  call('PEXPIRE', given, 300000)
end

-- The turn of the call, -1 for none, and what it gave.
local function remembered(field)
  local packed = call('HGET', given, field)
  if not packed then return -1, { numbers = {} } end
  local turn = struct.unpack('>d', packed)
  return turn, cmsgpack.unpack(string.sub(packed, 9))
end

-- Gives what is still held once more, as far as there is room; returns the rest.
local function giveAgain(jobs, most)
  local rest = { numbers = {}, claims = {} }
  for i, number in ipairs(jobs.numbers) do
    local job, claim = load(number), jobs.claims and jobs.claims[i] or 1
    if job and job.state == 'running' and job.server == server and job.claim == claim then
      if #to.numbers < ask.limit and to.bytes < most then
        hand(job, statusOf(job), to)
        to.bytes = to.bytes + #job.record
      else
        rest.numbers[#rest.numbers + 1] = number
        rest.claims[#rest.claims + 1] = claim
      end
    end
  end
  return rest
end

local function claimed(nextAt)
  local lost = {}
  for _, turn in ipairs(ask.lost or {}) do
    if call('HEXISTS', given, leftOf(turn)) == 1 then lost[#lost + 1] = turn end
  end
  if #lost > 0 then nextAt = now end
  return answer({ numbers = to.numbers, records = to.records, statuses = to.statuses, now = now, nextAt = nextAt,
    lost = lost })
end

-- Sent again: what the first try gave. One that comes after newer ones has been given up by who sent it.
local turn, jobs = remembered(fieldOf(ask.turn))
if turn >= ask.turn then
  if turn == ask.turn then giveAgain(jobs, math.huge) end
  return claimed(now)
end

for _, lost in ipairs(ask.lost or {}) do
  local left, rest = remembered(leftOf(lost))
  local was = left
  if left < 0 then was, rest = remembered(fieldOf(lost)) end
  if was <= lost then
    -- It may still arrive.
    remember(fieldOf(lost), lost, { numbers = {} })
    rest = was == lost and giveAgain(rest, MOST_BYTES) or { numbers = {} }
    if #rest.numbers > 0 then
      remember(leftOf(lost), lost, rest)
    elseif left == lost then
      call('HDEL', given, leftOf(lost))
    end
  end
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

if #to.numbers > 0 then
  local claims = next(to.claims) and {}
  if claims then for i = 1, #to.numbers do claims[i] = to.claims[i] or 1 end end
  remember(fieldOf(ask.turn), ask.turn, { numbers = to.numbers, claims = claims })
end

return claimed(#to.numbers < ask.limit and nextAt < math.huge and nextAt or nil)
