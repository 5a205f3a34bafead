-- What every command begins with.
--
-- Keys of a shard, all behind its hash tag (KEYS[1], '{tag}:'):
--
--   store          the store's part of the ids                number          the last arrival number given
--   page:<page>    records (what a job is), 256 to a page     gone:<page>     those of a page that are no more
--   pages          the pages there are                        status          number -> status (how it stands), see job.lua
--   extras         number -> msgpack: errors, progress, …     log:<number>    list of log lines
--   own            a caller's own id -> number
--   template(s)    queue, name, priority, attempts <-> number queues          name -> number
--   q:<queue>      counts, settings, turns of a queue         fresh:, late:, due:, ended:, expiring:   see lines.lua
--   keys:, heads:, …  see keys.lua                            unique:, traces:                         see uniques.lua
--   servers, server(s), beats, held:<server>                  schedules, ticks, events, …              see the commands
--   once, forgetting   see once.lua                           and in a cluster: stamp, intents, intended, where, keeper:<key>,
--                                                             cursors, numbered, runs, runs:<shard>

local call, prefix, ask, now
-- Where the answers of who asks are kept; nil for a call that bears being done twice.
local answers
local STATUS, EXTRAS, OWN

-- A server may make all functions once and call them often, so what belongs to one call is made by `starts`, in their order;
-- `ends` write what was only noted.
local starts, ends = {}, {}
local function onStart(make) starts[#starts + 1] = make end
local function onEnd(write) ends[#ends + 1] = write end

-- What was asked, and the moment. Returns the answer of a call that was sent again because its answer got lost: that of the
-- first time. The last 64 answers of a process are kept, and a process has fewer calls under way.
local function receive(key, request)
  call, prefix, ask = redis.call, key, cmsgpack.unpack(request)
  STATUS, EXTRAS, OWN = prefix .. 'status', prefix .. 'extras', prefix .. 'own'
  -- The server's clock, ms; tests bring their own.
  now = ask.now
  if not now then
    local time = call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  answers = ask.who and prefix .. 'answers:' .. ask.who
  local seen = answers and call('HGET', answers, ask.turn % 64)
  if seen and struct.unpack('>d', seen) == ask.turn then return string.sub(seen, 9) end
  for _, make in ipairs(starts) do make() end
end

-- Fixed width, so that members of a sorted set with equal scores stand in order of arrival.
local function pad(number) return string.format('%015d', number) end

-- As an argument: Redis writes the numbers it is given as fractions, which takes three times as long.
local function text(number) return string.format('%d', number) end

local function texts(numbers)
  local all = {}
  for i, number in ipairs(numbers) do all[i] = text(number) end
  return all
end

local function isWaiting(state) return state == 'available' or state == 'scheduled' or state == 'retryable' end

local function isEnded(state) return state ~= 'running' and not isWaiting(state) end

-- A command with more arguments than one call of Lua may have. `list` is what follows the key.
local function many(command, key, list)
  local size = #list
  if size == 0 then return end
  if size <= 4000 then return call(command, key, unpack(list)) end
  for from = 1, size, 4000 do call(command, key, unpack(list, from, math.min(from + 3999, size))) end
end

-- Values of the fields of a hash, in their order; false for what is not there.
local function values(key, fields)
  local size = #fields
  if size == 0 then return {} end
  if size <= 4000 then return call('HMGET', key, unpack(fields)) end
  local all = {}
  for from = 1, size, 4000 do
    local to = math.min(from + 3999, size)
    local some = call('HMGET', key, unpack(fields, from, to))
    for i = 1, to - from + 1 do all[from + i - 1] = some[i] end
  end
  return all
end

-- A list of place, value, place, value, … as a table: maps come with texts for names.
local function sparse(list)
  local all = {}
  for i = 1, #(list or {}), 2 do all[list[i]] = list[i + 1] end
  return all
end

local function failure(code, detail) return redis.error_reply('MILLRACE ' .. code .. ' ' .. (detail or '')) end
