-- Events behind ask.after, oldest first, at most ask.limit; the last ones when it is absent. The answer: events, as they were
-- recorded, and the number of the latest one there was.

local found
if ask.after then
  found = call('ZRANGEBYSCORE', prefix .. 'events', '(' .. string.format('%.17g', ask.after), '+inf', 'LIMIT', 0, ask.limit)
else
  found = ask.limit > 0 and call('ZRANGE', prefix .. 'events', -ask.limit, -1) or {}
end
for i, each in ipairs(found) do found[i] = string.sub(each, 16) end
return answer({ events = found, last = tonumber(call('GET', prefix .. 'event') or 0) })
