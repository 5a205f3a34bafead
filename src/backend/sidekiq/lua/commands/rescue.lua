-- Jobs of servers that have not beaten for ask.lease ms go on without them. ask.crash: { class, message, most }. How many.

local rescued = 0
for _, id in ipairs(call('ZRANGEBYSCORE', own .. 'beats', '-inf', now - ask.lease)) do
  rescued = rescued + dismiss(id, ask.crash)
end
return answer(rescued)
