-- What would become of one group, asked as of add: `new`, whether each of its jobs would be a new one; `full`, if it would be
-- refused.

readGroups()
local isNew = newOnes(1, #ask.jobs)
return answer({ new = isNew, full = limits[1] and fullAnswer(1, #ask.jobs, limits[1], isNew) or nil })
