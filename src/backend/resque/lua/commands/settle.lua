-- Ends attempts.
--
-- ask.server; ask.numbers and ask.slots of the claims, one per outcome; ask.endings: place, ending, … of those that did not
-- complete. An ending: kind; error: exception, message and backtrace, each as JSON; runAt of what comes again, and history, the error
-- for its note; failed: whether it counts as one; unknown: its class was, so that the message is goworker's.
-- The answer: a text of one digit per outcome, 1 for taken, 0 for stale.

local server = findServer(ask.server)
if not server then return answer(string.rep('0', #ask.slots)) end

local endings = {}
for i = 1, #ask.endings, 2 do endings[ask.endings[i]] = ask.endings[i + 1] end

local keys, records = {}, {}
for i, slot in ipairs(ask.slots) do keys[i] = prefix .. 'worker:' .. workerOf(server, slot) end
for from = 1, #keys, 4000 do
  for _, record in ipairs(call('MGET', unpack(keys, from, math.min(from + 3999, #keys)))) do
    records[#records + 1] = record
  end
end

local hasOrders = call('EXISTS', ORDERS) == 1
local results, seen = {}, {}
local taken = { keys = {}, slots = {} }
local back, completed = {}, {}
local processed, failed = 0, 0

-- Of a job that did not complete. Returns whether it counts as processed and as failed.
local function conclude(job, worker, ending)
  local isOver = not ending.runAt and ending.kind ~= 'returned'
  local reason = hasOrders and not isOver and reasonFor(worker, job.number)
  if reason then
    cancelled(job.queue, job.bytes, worker, reason, server.goworker)
    return true, false
  end
  if ending.kind == 'returned' then
    back[#back + 1] = job
  elseif isOver then
    if ending.unknown then ending.error[2] = quote(noWorker(job.queue, job.bytes)) end
    fail(job.queue, job.bytes, worker, ending.error, server.goworker)
  else
    local attempt = job.attempt + (ending.failed and 1 or 0)
    delayNoted(job.queue, job.bytes, ending.runAt, attempt, job.crashes, ending.history)
  end
  return isOver or ending.failed, ending.failed
end

for i, slot in ipairs(ask.slots) do
  local record = not seen[slot] and records[i]
  results[i] = '0'
  if record and isOf(record, ask.numbers[i]) then
    results[i] = '1'
    seen[slot] = true
    local at = #taken.keys + 1
    taken.keys[at], taken.slots[at] = keys[i], slot
    local isProcessed, isFailed = true, false
    if endings[i] then
      isProcessed, isFailed = conclude(held(record, slot), workerOf(server, slot), endings[i])
      isProcessed = isProcessed and not (isFailed and server.goworker)
    else
      local queue = queueOf(record)
      completed[queue] = (completed[queue] or 0) + 1
    end
    if isProcessed then processed = processed + 1 end
    if isFailed then failed = failed + 1 end
  end
end

many('DEL', nil, taken.keys)
if server.goworker then
  for _, key in ipairs(taken.keys) do call('DEL', key .. ':started') end
end
if hasOrders then
  for _, slot in ipairs(taken.slots) do call('HDEL', ORDERS, workerOf(server, slot)) end
end
many('RPUSH', own .. 'free:' .. server.id, taken.slots)
if processed > 0 then call('INCRBY', prefix .. 'stat:processed', processed) end
if failed > 0 then call('INCRBY', prefix .. 'stat:failed', failed) end
for queue, count in pairs(completed) do call('HINCRBY', own .. 'completed', queue, count) end
-- The one that was claimed first is the last to be put at the head.
table.sort(back, byClaim)
for i = #back, 1, -1 do
  putBack(back[i].queue, back[i].bytes)
  note(back[i].queue, back[i].bytes, back[i].attempt, back[i].crashes)
end
return answer(table.concat(results))
