-- The events behind ask.after, at most ask.limit: number, stamp, number, stamp, … The answer has also the `first` number that is
-- kept and the `last` that was given.

local found = call('ZRANGEBYSCORE', prefix .. 'events', '(' .. string.format('%.17g', ask.after), '+inf', 'LIMIT', 0, ask.limit)
local flat = {}
for i, each in ipairs(found) do
  local event = cmsgpack.unpack(string.sub(each, 16))
  flat[2 * i - 1], flat[2 * i] = event.number, event.stamp
end
local first = call('ZRANGE', prefix .. 'events', 0, 0, 'WITHSCORES')
local last = tonumber(call('GET', prefix .. 'event') or 0)
return answer({ found = flat, first = tonumber(first[2]) or last + 1, last = last })
