-- What every script begins with. KEYS[1] is where Millrace keeps what is not of the wire: '<namespace>millrace:'.
--
-- Of the wire, in Sidekiq's own format:   queues, queue:<name>, schedule, retry, dead, paused, processes, <identity>,
--   <identity>:work, <identity>-signals, stat:processed, stat:failed and those of each day
-- Our own, which no Ruby process looks at:
--
--   servers     id -> what it said of itself          held:<server>    claim -> { queue, claimed at, job }
--   beats       id by its last beat                   notes:<server>   claim -> { progress, log }
--   identities  id -> identity among the processes    orders:<server>  claim -> { job id, reason }
--   signals     id -> 'quiet' or 'stop'               crashes, crashed job id -> how often, and by when last
--   claims      the last number given                 completed        queue -> how many
--   cancelled   jobs by when they were, as in dead
--   once:<key>, answers:<process>, answers:<process>:<server> of its claims

local call = redis.call
local own = KEYS[1]
local wire = string.sub(own, 1, -10)
local ask = cmsgpack.unpack(ARGV[1])

-- The server's clock, ms; tests bring their own.
local now = ask.now
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A call that was sent again, because its answer got lost, is answered as the first time.
local answers = ask.turn and own .. 'answers:' .. ask.who
if answers and not ask.claimer then
  local seen = call('HGET', answers, ask.turn % 64)
  if seen and struct.unpack('>d', seen) == ask.turn then return string.sub(seen, 9) end
end

local QUEUES = wire .. 'queues'

local function queueKey(name) return wire .. 'queue:' .. name end

-- As a score: seconds with all their digits.
local function seconds(ms) return string.format('%.17g', ms / 1000) end

-- A command with more arguments than one call of Lua may have. `list` is what follows the key.
local function many(command, key, list)
  local size = #list
  for from = 1, size, 4000 do call(command, key, unpack(list, from, math.min(from + 3999, size))) end
end

-- Values of the fields of a hash, in their order; false for what is not there.
local function values(key, fields)
  local all = {}
  for from = 1, #fields, 4000 do
    local some = call('HMGET', key, unpack(fields, from, math.min(from + 3999, #fields)))
    for i = 1, #some do all[from + i - 1] = some[i] end
  end
  return all
end

local function failure(code, detail) return redis.error_reply('MILLRACE ' .. code .. ' ' .. (detail or '')) end

local told = {}

-- Those who listen to `channel` are told at the end, once.
local function tell(channel) told[channel] = true end

-- Jobs in the order in which they are to run next, before all that wait.
local function putFirst(queue, jobs)
  local reversed = {}
  for i = #jobs, 1, -1 do reversed[#reversed + 1] = jobs[i] end
  many('RPUSH', queueKey(queue), reversed)
  call('SADD', QUEUES, queue)
  tell('q:' .. queue)
end

-- The sets by their names: those of the wire, and the one of what was cancelled, which the wire has no place for.
local function setKey(name) return (name == 'cancelled' and own or wire) .. name end

-- How long what has ended is kept, and below how many jobs: of the dead as Sidekiq does it.
local KEPT = { dead = { 180 * 86400000, 10000 }, cancelled = { 7 * 86400000, 1001 } }

-- Returns how many went.
local function trim(set)
  local age, most = unpack(KEPT[set])
  return call('ZREMRANGEBYSCORE', setKey(set), '-inf', seconds(now - age)) + call('ZREMRANGEBYRANK', setKey(set), 0, -most)
end

-- Puts a job among the dead or the cancelled. The dead are trimmed each time, as Sidekiq does it.
local function bury(set, job)
  call('ZADD', setKey(set), seconds(now), job)
  if set == 'dead' then trim(set) end
end

-- With this as its error. Of two members of one name every reader takes the last.
local function withError(job, class, message)
  local open = string.match(job, '^(.*%S)%s*}%s*$')
  if not open then return job end
  return open .. ',"error_class":' .. cjson.encode(class) .. ',"error_message":' .. cjson.encode(message) .. '}'
end

-- Whether the job may have this id. One that JSON may write in several ways is taken for it, and so is one made of its bytes (~).
local function isSame(job, id)
  return string.find(id, '^~') or string.find(id, '["\\/%c\128-\255]') or string.find(job, '"' .. id .. '"', 1, true)
end

-- The last words of a script.
local function answer(value)
  for channel in pairs(told) do call('PUBLISH', own .. ask.db .. ':' .. channel, ask.by or '') end
  local packed = cmsgpack.pack(value)
  if answers and not ask.claimer then
    call('HSET', answers, ask.turn % 64, struct.pack('>d', ask.turn) .. packed)
    call('PEXPIRE', answers, 300000)
  end
  return packed
end
