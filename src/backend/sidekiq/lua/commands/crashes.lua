-- How often the servers of jobs have died: ask.ids. A count each, 0 for most.

local counts = values(own .. 'crashes', ask.ids)
for i, count in ipairs(counts) do counts[i] = tonumber(count or 0) end
return answer(counts)
