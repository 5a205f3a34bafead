-- The jobs that a server holds, as they were when it claimed them: ask.server, ask.claims. false for those it does not hold.

local records = values(own .. 'held:' .. ask.server, ask.claims)
local jobs = {}
for i, record in ipairs(records) do jobs[i] = record and cmsgpack.unpack(record) end
return answer(jobs)
