-- How running jobs ended. ask.server, ask.claims, ask.ids, ask.day; ask.moves: position -> { kind, … } of those that did not
-- just complete:
--
--   retry, schedule: score, job, hasFailed    dead, cancelled: job, hasFailed    gone: hasFailed    back
--
-- The answer: '1' taken, '0' stale, per job.

local FIVE_YEARS = 157680000

local held, orders = own .. 'held:' .. ask.server, own .. 'orders:' .. ask.server
local hasOrders = call('EXISTS', orders) == 1
local moves = {}
for i = 1, #ask.moves, 2 do moves[ask.moves[i]] = ask.moves[i + 1] end

local processed, failed = 0, 0
local completed, back, results, gone, over = {}, {}, {}, {}, {}

for i, record in ipairs(values(held, ask.claims)) do
  local claim = ask.claims[i]
  record = record and not gone[claim] and cmsgpack.unpack(record)
  local isTaken = record and isSame(record[3], ask.ids[i])
  results[i] = isTaken and '1' or '0'
  if isTaken then
    gone[claim] = true
    over[#over + 1] = claim
    local move = moves[i]
    local kind = move and move.kind
    local again = kind == 'retry' or kind == 'schedule' or kind == 'back'
    local order = again and hasOrders and call('HGET', orders, claim)
    if not move or move.hasFailed or kind == 'cancelled' then processed = processed + 1 end
    if move and move.hasFailed then failed = failed + 1 end
    if order then
      bury('cancelled', withError(record[3], 'MILLRACE_JOB_CANCELLED', cmsgpack.unpack(order)[2]))
    elseif not kind then
      completed[record[1]] = (completed[record[1]] or 0) + 1
    elseif kind == 'back' then
      back[#back + 1] = { claim, record[1], record[3] }
    elseif kind == 'dead' or kind == 'cancelled' then
      bury(kind, move.job)
    elseif kind ~= 'gone' then
      call('ZADD', wire .. kind, move.score, move.job)
      tell('q:' .. record[1])
    end
  end
end

table.sort(back, function(a, b) return a[1] < b[1] end)
local byQueue = {}
for _, each in ipairs(back) do
  byQueue[each[2]] = byQueue[each[2]] or {}
  table.insert(byQueue[each[2]], each[3])
end
for queue, jobs in pairs(byQueue) do putFirst(queue, jobs) end

if #over > 0 then
  many('HDEL', held, over)
  many('HDEL', own .. 'notes:' .. ask.server, over)
  if hasOrders then many('HDEL', orders, over) end
end
for queue, count in pairs(completed) do call('HINCRBY', own .. 'completed', queue, count) end
for name, count in pairs({ processed = processed, failed = failed }) do
  if count > 0 then
    local day = wire .. 'stat:' .. name .. ':' .. ask.day
    call('INCRBY', wire .. 'stat:' .. name, count)
    call('INCRBY', day, count)
    call('EXPIRE', day, FIVE_YEARS)
  end
end
if next(completed) and call('EXISTS', own .. 'crashes') == 1 then
  for i, id in ipairs(ask.ids) do
    if results[i] == '1' and not moves[i] then
      call('HDEL', own .. 'crashes', id)
      call('ZREM', own .. 'crashed', id)
    end
  end
end
return answer(table.concat(results))
