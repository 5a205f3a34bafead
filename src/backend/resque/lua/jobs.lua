-- Jobs on the wire: in a queue, delayed, held by a worker, failed. A payload's bytes are never written anew.

-- Whether others can read these bytes as a job: an object with a class.
local function isReadable(bytes)
  local ok, job = pcall(cjson.decode, bytes)
  return ok and type(job) == 'table' and type(job.class) == 'string', ok and job
end

-- How bytes stand where others expect a job: as they are, or wrapped where those would choke on them.
local function shown(bytes)
  if isReadable(bytes) then return bytes, 0 end
  if not string.find(bytes, '[^\9\10\13\32-\126]') then
    return '{"class":"Millrace::Unreadable","args":[' .. quote(bytes) .. ',"text"]}', 1
  end
  local hex = string.gsub(bytes, '.', function(byte) return string.format('%02x', string.byte(byte)) end)
  return '{"class":"Millrace::Unreadable","args":["' .. hex .. '","hex"]}', 1
end

local function unwrapped(text)
  local args = cjson.decode(text).args
  if args[2] == 'text' then return args[1] end
  return (string.gsub(args[1], '..', function(pair) return string.char(tonumber(pair, 16)) end))
end

local function push(queue, bytes)
  call('SADD', prefix .. 'queues', queue)
  call('RPUSH', prefix .. 'queue:' .. queue, bytes)
  wake(queue)
end

-- Back to where it was: the head.
local function putBack(queue, bytes)
  call('SADD', prefix .. 'queues', queue)
  call('LPUSH', prefix .. 'queue:' .. queue, bytes)
  wake(queue)
end

-- ---- delayed: resque-scheduler's ---------------------------------------------------------------------------------------

local SCHEDULE = prefix .. 'delayed_queue_schedule'

-- The job of a delayed item, and its queue; nil for one that nobody can read. Ruby's items are the payload with its queue
-- behind it; those of others have it elsewhere, and are the payload as they are.
local function jobOf(item)
  local readable, job = isReadable(item)
  if not readable or type(job.queue) ~= 'string' then return end
  local tail = ',"queue":' .. quote(job.queue) .. '}'
  if string.sub(item, -#tail) == tail then return job.queue, string.sub(item, 1, -#tail - 1) .. '}' end
  return job.queue, item
end

local function itemOf(queue, bytes)
  local readable, job = isReadable(bytes)
  if readable and job.queue == queue then return bytes end
  return string.sub(bytes, 1, -2) .. ',"queue":' .. quote(queue) .. '}'
end

-- Seconds are all that the wire has: never earlier than asked for.
local function delay(queue, bytes, at)
  local seconds = string.format('%d', math.ceil(at / 1000))
  local item = itemOf(queue, bytes)
  call('RPUSH', prefix .. 'delayed:' .. seconds, item)
  call('SADD', prefix .. 'timestamps:' .. item, 'delayed:' .. seconds)
  call('ZADD', SCHEDULE, seconds, seconds)
  wake(queue)
  -- A note has to be found by what is in the queue later.
  local _, later = jobOf(item)
  return later or bytes
end

local function delayNoted(queue, bytes, at, attempt, crashes, error)
  note(queue, delay(queue, bytes, at), attempt, crashes, at, error)
end

-- After items were taken from there.
local function closeDelayed(seconds)
  if call('EXISTS', prefix .. 'delayed:' .. seconds) == 0 then call('ZREM', SCHEDULE, seconds) end
end

-- ---- failed -------------------------------------------------------------------------------------------------------------

-- `error`: exception, message and backtrace, each as JSON.
local function fail(queue, bytes, worker, error, goworker)
  local text = shown(bytes)
  call('RPUSH', prefix .. 'failed', table.concat({
    '{"failed_at":"', moment(now, goworker and form.rfc3339 or form.failed), '","payload":', text, ',"exception":', error[1],
    ',"error":', error[2], ',"backtrace":', error[3], ',"worker":', quote(worker), ',"queue":', quote(queue), '}' }))
end

-- What is due goes to the end of its queue, a bounded number at a time. True when there is more.
local function promote()
  local left = 1000
  while left > 0 do
    local seconds = call('ZRANGEBYSCORE', SCHEDULE, '-inf', math.floor(now / 1000), 'LIMIT', 0, 1)[1]
    if not seconds then return false end
    local key = prefix .. 'delayed:' .. seconds
    local items = call('LRANGE', key, 0, left - 1)
    for _, item in ipairs(items) do
      call('SREM', prefix .. 'timestamps:' .. item, 'delayed:' .. seconds)
      local queue, bytes = jobOf(item)
      if queue then
        push(queue, bytes)
      else
        fail('', item, '', { '"Millrace::Unreadable"', '"a delayed item without a class or a queue"', 'null' })
      end
    end
    call('LTRIM', key, #items, -1)
    closeDelayed(seconds)
    left = left - math.max(1, #items)
  end
  return true
end
