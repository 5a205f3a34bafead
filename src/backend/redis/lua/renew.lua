-- Runs before the first add on a server that was started, or became the master, since. It may have lost the last moments, and
-- with them numbers that were given to jobs: whoever still holds one of those must not settle another job of that number.
-- So numbers go on far behind all that can have been given: 2^30, which is a page's first number.

local number = tonumber(call('GET', prefix .. 'number') or 0)
call('SET', prefix .. 'number', string.format('%d', (math.floor(number / 2 ^ 30) + 1) * 2 ^ 30))
call('INCRBY', prefix .. 'event', 2 ^ 30)
