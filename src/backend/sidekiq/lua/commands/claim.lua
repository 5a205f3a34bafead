-- Hands jobs to a server: taken from their lists and recorded as held in this one step, so a job is always in one place.
--
-- ask.server, ask.queues, ask.limit; ask.who and ask.turn name the call, ask.lost those before it whose answers never came: what
-- they gave goes back. While jobs are due it gives none, but those that are due, to be promoted first (unless ask.late). The answer: { due: set, job, … } or { claims, queues, jobs, nextAt, crashed }.

local BYTES = 33554432

if call('HEXISTS', own .. 'servers', ask.server) == 0 then return failure('SERVER_UNKNOWN', ask.server) end

local held = own .. 'held:' .. ask.server
local claims, queues, jobs = {}, {}, {}
local crashed = call('EXISTS', own .. 'crashes') == 1

local function keep(turn, given)
  call('HSET', answers, 'c' .. turn % 16, struct.pack('>d', turn) .. cmsgpack.pack(given))
  call('PEXPIRE', answers, 300000)
end

-- Sent again: what the first try gave, as far as it is still held. The jobs were not kept a second time.
local seen = call('HGET', answers, 'c' .. ask.turn % 16)
local last = seen and struct.unpack('>d', seen) or -1
if last > ask.turn then return answer({ claims = claims, queues = queues, jobs = jobs, nextAt = now, crashed = false }) end
if last == ask.turn then
  for _, claim in ipairs(cmsgpack.unpack(string.sub(seen, 9))) do
    local record = call('HGET', held, claim)
    if record then
      record = cmsgpack.unpack(record)
      claims[#claims + 1], queues[#queues + 1], jobs[#jobs + 1] = claim, record[1], record[3]
    end
  end
  return answer({ claims = claims, queues = queues, jobs = jobs, nextAt = now, crashed = crashed })
end

local back = {}
for _, turn in ipairs(ask.lost) do
  local slot = 'c' .. turn % 16
  local given = call('HGET', answers, slot)
  local was = given and struct.unpack('>d', given) or -1
  for _, claim in ipairs(was == turn and cmsgpack.unpack(string.sub(given, 9)) or {}) do
    local record = call('HGET', held, claim)
    if record then
      record = cmsgpack.unpack(record)
      back[record[1]] = back[record[1]] or {}
      table.insert(back[record[1]], record[3])
      call('HDEL', held, claim)
    end
  end
  -- It may still arrive, and then it gives nothing.
  if was <= turn then keep(turn, {}) end
end
for queue, some in pairs(back) do putFirst(queue, some) end

local nextAt
local due = {}
for _, set in ipairs({ 'schedule', 'retry' }) do
  local some = call('ZRANGEBYSCORE', wire .. set, '-inf', seconds(now), 'LIMIT', 0, 200)
  for _, job in ipairs(some) do
    due[#due + 1] = set
    due[#due + 1] = job
  end
  if #some == 0 then
    local score = call('ZRANGE', wire .. set, 0, 0, 'WITHSCORES')[2]
    local at = score and math.ceil(tonumber(score) * 1000 - 0.0001)
    if at and (not nextAt or at < nextAt) then nextAt = at end
  end
end
if #due > 0 and not ask.late then return answer({ due = due }) end
if #due > 0 then nextAt = now end

local bytes = 0
for _, queue in ipairs(ask.queues) do
  if #jobs < ask.limit and bytes < BYTES and call('SISMEMBER', wire .. 'paused', queue) == 0 then
    while #jobs < ask.limit and bytes < BYTES do
      local wanted = math.min(100, ask.limit - #jobs)
      local some = call('RPOP', queueKey(queue), wanted)
      if not some then break end
      for _, job in ipairs(some) do
        jobs[#jobs + 1] = job
        queues[#queues + 1] = queue
        bytes = bytes + #job
      end
      if #some < wanted then break end
    end
  end
end

if #jobs > 0 then
  local last = call('INCRBY', own .. 'claims', #jobs)
  local records = {}
  for i, job in ipairs(jobs) do
    claims[i] = last - #jobs + i
    records[2 * i - 1] = string.format('%.0f', claims[i])
    records[2 * i] = cmsgpack.pack({ queues[i], now, job })
  end
  many('HSET', held, records)
  keep(ask.turn, claims)
end
if #jobs == ask.limit then nextAt = nil elseif bytes >= BYTES then nextAt = now end
return answer({ claims = claims, queues = queues, jobs = jobs, nextAt = nextAt, crashed = crashed })
