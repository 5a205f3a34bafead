-- Schedules that are due, the longest waiting first, at most ask.limit; and when the next one will be.

local keys = ask.limit > 0 and call('ZRANGEBYSCORE', prefix .. 'ticks', '-inf', now, 'LIMIT', 0, ask.limit) or {}
local due = {}
for i, key in ipairs(keys) do due[i] = { key, call('HGET', prefix .. 'schedules', key) } end
local later = call('ZRANGEBYSCORE', prefix .. 'ticks', '(' .. string.format('%.17g', now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return answer({ now = now, due = due, nextAt = tonumber(later[2]) })
