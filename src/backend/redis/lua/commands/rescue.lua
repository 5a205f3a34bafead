-- Jobs of servers that have not beaten for ask.lease ms go on without them. ask.died and ask.quarantined: the texts for their
-- history, each in two halves around the server's id and the number of crashes; ask.codes: theirs. The
-- answer: how many jobs, and intents that nobody has fulfilled for a while: id, intent, id, intent, …

local rescued = 0
for _, id in ipairs(call('ZRANGEBYSCORE', prefix .. 'beats', '-inf', now - ask.lease)) do
  local crash = { message = ask.died[1] .. id .. ask.died[2], codes = ask.codes, quarantined = ask.quarantined }
  rescued = rescued + dismissServer(id, crash)
end

local overdue = {}
for _, id in ipairs(call('ZRANGEBYSCORE', prefix .. 'intended', '-inf', now - 5000, 'LIMIT', 0, 10)) do
  overdue[#overdue + 1] = id
  overdue[#overdue + 1] = call('HGET', prefix .. 'intents', id)
end
return answer({ rescued, overdue })
