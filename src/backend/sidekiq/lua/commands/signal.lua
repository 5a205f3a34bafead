-- What the Web page wants of a server: '', 'quiet' or 'stop'. It stays so until the server leaves. ask.id; ask.rss and ask.rtt,
-- which the thread that beats does not know.

local KINDS = { TSTP = 'quiet', USR1 = 'quiet', TERM = 'stop', INT = 'stop' }

local signals = own .. 'signals'
local identity = call('HGET', own .. 'identities', ask.id)
if identity and call('EXISTS', wire .. identity) == 1 then
  call('HSET', wire .. identity, 'rss', ask.rss, 'rtt_us', ask.rtt)
end
local list = identity and wire .. identity .. '-signals'
local signal = list and call('RPOP', list)
while signal do
  local kind = KINDS[signal]
  if kind and call('HGET', signals, ask.id) ~= 'stop' then call('HSET', signals, ask.id, kind) end
  signal = call('RPOP', list)
end
return answer(call('HGET', signals, ask.id) or '')
