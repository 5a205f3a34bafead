-- Ends attempts.
--
-- ask.server; ask.refs and ask.claims per outcome; ask.endings: place, ending, … of those that did not simply complete.
-- The answer: a text of one digit per outcome, 1 for taken, 0 for stale.

local server = tonumber(call('HGET', prefix .. 'server', ask.server) or -1)
local results, done = {}, {}
local endings = sparse(ask.endings)

local numbers = {}
for i, ref in ipairs(ask.refs) do numbers[i] = resolve(ref) or -1 end
local names = texts(numbers)
local statuses = values(STATUS, names)

-- What a status says, once for all that look the same: a claim writes one for many.
local read = {}
local function reading(status)
  local known = read[status]
  if not known then
    local code, bits, queueNo, _, _, claim, holder = struct.unpack('>BBI3I4I3I4I4', status)
    known = { isHeld = stateOf[code] == 'running' and holder == server, claim = claim, bits = bits, queue = queueNo }
    local isSimple = bits == BARE or bits == BARE + MOVED
    known.isSimple = isSimple and (queue(queueNo).settings.events or 0) == 0
    read[status] = known
  end
  return known
end

-- Those of which nothing stays: they go together.
local simple = { names = {}, queues = {} }
for i, number in ipairs(numbers) do
  local status = not done[number] and statuses[i]
  local held = status and reading(status)
  results[i] = '0'
  if held and held.isHeld and held.claim == ask.claims[i] then
    results[i] = '1'
    done[number] = true
    if held.isSimple and not endings[i] then
      simple.names[#simple.names + 1] = names[i]
      removeRecord(number)
      simple.queues[held.queue] = (simple.queues[held.queue] or 0) + 1
    else
      fates.settle(loadLive(number), endings[i] or { kind = 'completed' })
      arrange()
    end
  end
end

if #simple.names > 0 then
  many('HDEL', STATUS, simple.names)
  many('SREM', prefix .. 'held:' .. server, simple.names)
  for no, count in pairs(simple.queues) do
    local q = queue(no)
    add(q.v, 'running', -count)
    add(q.v, 'plain', -count)
    add(q.v, 'completed', count)
    if q.settings.concurrency then wake(q) end
  end
end
return answer(table.concat(results))
