-- Registers a server if it is new, renews its lease, and shows it among Sidekiq's processes with what it does.
-- ask.id; ask.info: JSON of ServerInfo, with `process` as process.ts makes it.

local SHOWN_FOR = 60

local info = cjson.decode(ask.info)
local shown = info.process
call('HSET', own .. 'servers', ask.id, ask.info)
call('HSET', own .. 'identities', ask.id, shown.identity)
call('ZADD', own .. 'beats', now, ask.id)

-- Those that were claimed first are those that run; the others wait in the process for a worker.
local works = {}
local held = heldBy(ask.id)
for i = 1, math.min(#held, info.concurrency) do
  local each = held[i]
  works[2 * i - 1] = string.format('%.0f', each.claim)
  works[2 * i] = '{"queue":' .. cjson.encode(each.queue) .. ',"payload":' .. cjson.encode(each.job) .. ',"run_at":'
    .. string.format('%.0f', math.floor(each.at / 1000)) .. '}'
end

local process = wire .. shown.identity
for _, name in ipairs(shown.works) do
  local work = process .. ':' .. name
  call('DEL', work)
  many('HSET', work, works)
  call('EXPIRE', work, SHOWN_FOR)
end
call('SADD', wire .. 'processes', shown.identity)
call('HSETNX', process, 'rss', 0)
call('HSETNX', process, 'rtt_us', 0)
call('HSET', process, 'info', shown.about, 'concurrency', info.concurrency, 'busy', #works / 2, 'beat', seconds(now),
  'quiet', call('HEXISTS', own .. 'signals', ask.id) == 1 and 'true' or 'false')
call('EXPIRE', process, SHOWN_FOR)
return answer(true)
