-- Registers a server if it is new, renews its lease, and shows it among Sidekiq's processes with what it does.
-- ask.id, ask.info: opaque; ask.identity, ask.about, ask.concurrency, ask.rss, ask.rtt: as Sidekiq shows them.

local SHOWN_FOR = 60

call('HSET', own .. 'servers', ask.id, ask.info)
call('HSET', own .. 'identities', ask.id, ask.identity)
call('ZADD', own .. 'beats', now, ask.id)

-- Those that were claimed first are those that run; the others wait in the process for a worker.
local works = {}
local held = heldBy(ask.id)
for i = 1, math.min(#held, ask.concurrency) do
  local each = held[i]
  works[2 * i - 1] = string.format('%.0f', each.claim)
  works[2 * i] = '{"queue":' .. cjson.encode(each.queue) .. ',"payload":' .. cjson.encode(each.job) .. ',"run_at":'
    .. string.format('%.0f', math.floor(each.at / 1000)) .. '}'
end

local process = wire .. ask.identity
for _, name in ipairs(ask.works) do
  local work = process .. ':' .. name
  call('DEL', work)
  many('HSET', work, works)
  call('EXPIRE', work, SHOWN_FOR)
end
call('SADD', wire .. 'processes', ask.identity)
call('HSET', process, 'info', ask.about, 'concurrency', ask.concurrency, 'busy', #works / 2, 'beat', seconds(now),
  'rtt_us', ask.rtt, 'quiet', call('HEXISTS', own .. 'signals', ask.id) == 1 and 'true' or 'false', 'rss', ask.rss)
call('EXPIRE', process, SHOWN_FOR)
return answer(true)
