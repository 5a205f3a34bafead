-- Ends attempts.
--
-- ask.server; ask.ids and ask.claims per outcome; ask.endings: place, ending, … of those that did not complete. An ending:
-- kind; error: exception, message and backtrace, each as JSON; runAt of what comes again, and history, the error for its note;
-- failed: whether it counts as one;
-- unknown: its class was, so that the message is goworker's.
-- The answer: a text of one digit per outcome, 1 for taken, 0 for stale.

local server = findServer(ask.server)
if not server then return answer(string.rep('0', #ask.ids)) end

local endings = {}
for i = 1, #ask.endings, 2 do endings[ask.endings[i]] = ask.endings[i + 1] end

local keys = {}
for i, claim in ipairs(ask.claims) do keys[i] = prefix .. 'worker:' .. workerOf(server, claim % SLOTS) end
local records = {}
for from = 1, #keys, 4000 do
  for _, record in ipairs(call('MGET', unpack(keys, from, math.min(from + 3999, #keys)))) do
    records[#records + 1] = record
  end
end

local results, gone, free, back, completed = {}, {}, {}, {}, {}
local hasOrders = call('EXISTS', ORDERS) == 1
local names = {}
local processed, failed = 0, 0
for i, claim in ipairs(ask.claims) do
  local job = records[i] and not gone[keys[i]] and held(records[i])
  results[i] = '0'
  if job and job.claim == claim and nameOf(job.queue, job.bytes) == ask.ids[i] then
    results[i] = '1'
    gone[keys[i]] = true
    free[#free + 1] = claim % SLOTS
    local worker = workerOf(server, claim % SLOTS)
    local ending = endings[i]
    names[#names + 1] = worker
    local reason = hasOrders and ending and (ending.runAt or ending.kind == 'returned') and reasonFor(worker, claim)
    if reason then ending = { kind = 'cancelled', error = { '"Millrace::Cancelled"', quote(reason), 'null' } } end
    local isFailure = ending and ending.failed
    if not ending then
      completed[job.queue] = (completed[job.queue] or 0) + 1
    elseif ending.kind == 'returned' then
      back[#back + 1] = job
    elseif ending.runAt then
      delayNoted(job.queue, job.bytes, ending.runAt, job.attempt + (isFailure and 1 or 0), job.crashes,
        ending.history)
    else
      if ending.unknown then ending.error[2] = quote(noWorker(job.queue, job.text)) end
      fail(job.queue, job.text, worker, ending.error, server.goworker)
    end
    if not ending or not server.goworker and (isFailure or ending.kind == 'cancelled') then
      processed = processed + 1
      call('INCR', prefix .. 'stat:processed:' .. worker)
    end
    if isFailure then
      failed = failed + 1
      call('INCR', prefix .. 'stat:failed:' .. worker)
    end
  end
end

local over = {}
for key in pairs(gone) do
  over[#over + 1] = key
  if server.goworker then over[#over + 1] = key .. ':started' end
end
many('DEL', nil, over)
if hasOrders then many('HDEL', ORDERS, names) end
many('LPUSH', own .. 'free:' .. server.id, free)
if processed > 0 then call('INCRBY', prefix .. 'stat:processed', processed) end
if failed > 0 then call('INCRBY', prefix .. 'stat:failed', failed) end
for queue, count in pairs(completed) do call('HINCRBY', own .. 'completed', queue, count) end
-- The one that was claimed first is the last to be put at the head.
table.sort(back, function(a, b) return a.claim > b.claim end)
for _, job in ipairs(back) do
  putBack(job.queue, job.bytes)
  note(job.queue, job.bytes, job.attempt, job.crashes)
end
return answer(table.concat(results))
