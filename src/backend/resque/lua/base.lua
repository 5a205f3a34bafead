-- What every script begins with: what was asked, the moment, and the keys.
--
-- KEYS[1] is the namespace with its colon, 'resque:'. Of Resque, resque-scheduler and their kin, in their own forms:
--
--   queues, queue:<queue>                        names, and lists of payloads {"class":…,"args":[…]}
--   workers, worker:<name>, worker:<name>:started, workers:heartbeat, stat:…, failed, pause-all-workers
--   delayed_queue_schedule, delayed:<seconds>, timestamps:<item>
--
-- Beside them, unknown to all others, in millrace:…
--
--   server:<id>    info, head and tail of its workers' names, goworker, once     beats    id -> moment
--   slots:<id>     numbers of its workers                            free:<id>   those of them that hold nothing
--   notes          job -> what the wire cannot carry of equal jobs that wait, see notes.lua
--   completed      queue -> jobs completed by our servers            settings    queue -> msgpack
--   claimed        the last number of a claim                             once:<key>  fingerprint and answer of an add
--   orders         worker -> number, reason: that its job shall stop
--   answers:<who>  what the last calls of a process were answered, and answers:<who>:<server> what its last claims gave

local call = redis.call
local prefix = KEYS[1]
local own = prefix .. 'millrace:'
local ask = cmsgpack.unpack(ARGV[1])

-- The server's clock, ms; tests bring their own.
local now = ask.now
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A call that was sent again, because its answer got lost, is answered as the first time. The last 64 answers of a process
-- are kept, and a process has fewer calls under way.
local answers = ask.who and own .. 'answers:' .. ask.who
if answers then
  local seen = call('HGET', answers, ask.turn % 64)
  if seen and struct.unpack('>d', seen) == ask.turn then return string.sub(seen, 9) end
end

local function failure(code, detail) return redis.error_reply('MILLRACE ' .. code .. ' ' .. detail) end

-- A command with more arguments than one call of Lua may have. `list` is what follows the key, if there is one.
local function many(command, key, list)
  for from = 1, #list, 4000 do
    local to = math.min(from + 3999, #list)
    if key then call(command, key, unpack(list, from, to)) else call(command, unpack(list, from, to)) end
  end
end

-- As JSON, in the way of Ruby: a slash needs no escape.
local function quote(text) return (string.gsub(cjson.encode(text), '\\/', '/')) end

-- ---- moments as text, UTC ----------------------------------------------------------------------------------------------

local form = {
  iso = '%04d-%02d-%02dT%02d:%02d:%02dZ',
  ruby = '%04d-%02d-%02d %02d:%02d:%02d +0000',
  failed = '%04d/%02d/%02d %02d:%02d:%02d UTC',
  rfc3339 = '%04d-%02d-%02dT%02d:%02d:%02d%sZ',
  go = '%04d-%02d-%02d %02d:%02d:%02d%s +0000 UTC',
}

-- Days are counted from the first of March of the year 0, so that the leap day is the last of its year.
local function moment(at, how)
  local floor = math.floor
  local seconds = floor(at / 1000)
  local day = floor(seconds / 86400) + 719468
  local era = floor(day / 146097)
  local ofEra = day - era * 146097
  local year = floor((ofEra - floor(ofEra / 1460) + floor(ofEra / 36524) - floor(ofEra / 146096)) / 365)
  local ofYear = ofEra - (365 * year + floor(year / 4) - floor(year / 100))
  local march = floor((5 * ofYear + 2) / 153)
  local month = march < 10 and march + 3 or march - 9
  local ofDay = seconds % 86400
  -- Go leaves out zeros at the end, and the point when nothing is behind it.
  local part = string.gsub(string.gsub(string.format('.%03d', at % 1000), '0+$', ''), '^%.$', '')
  return string.format(how, year + era * 400 + (month <= 2 and 1 or 0), month,
    ofYear - floor((153 * march + 2) / 5) + 1, floor(ofDay / 3600), floor(ofDay % 3600 / 60), ofDay % 60, part)
end

-- ---- who is told, and the end of a script -------------------------------------------------------------------------------

local heard = {}

local function wake(queue) heard['q:' .. queue] = true end
local function order(server) heard['s:' .. server] = true end

-- Packs the answer, and keeps it for a repeat.
local function answer(value)
  for channel in pairs(heard) do call('PUBLISH', own .. channel, ask.by or '-') end
  local packed = cmsgpack.pack(value)
  if answers then
    call('HSET', answers, ask.turn % 64, struct.pack('>d', ask.turn) .. packed)
    call('PEXPIRE', answers, 300000)
  end
  return packed
end
