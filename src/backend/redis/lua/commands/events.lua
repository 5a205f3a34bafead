-- Events behind ask.after, oldest first, at most ask.limit; the last ones when it is absent, or when ask.isLast; none behind
-- ask.to. The answer: events, as they were recorded, and the number of the latest one there was.

local found
local from = '(' .. string.format('%.17g', ask.after or 0)
local to = ask.to and string.format('%.17g', ask.to) or '+inf'
if ask.isLast then
  found = {}
  for _, each in ipairs(call('ZREVRANGEBYSCORE', prefix .. 'events', to, from, 'LIMIT', 0, ask.limit)) do
    table.insert(found, 1, each)
  end
elseif ask.after then
  found = call('ZRANGEBYSCORE', prefix .. 'events', from, to, 'LIMIT', 0, ask.limit)
else
  found = ask.limit > 0 and call('ZRANGE', prefix .. 'events', -ask.limit, -1) or {}
end
for i, each in ipairs(found) do found[i] = string.sub(each, 16) end
return answer({ events = found, last = tonumber(call('GET', prefix .. 'event') or 0) })
