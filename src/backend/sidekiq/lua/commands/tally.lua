-- How many jobs of which queue stand in a set: ask.place, ask.from, ask.count. The answer: { size, queue, count, … }.

local jobs = call('ZRANGE', setKey(ask.place), ask.from, ask.from + ask.count - 1)
local counts = {}
for _, job in ipairs(jobs) do
  local isJson, fields = pcall(cjson.decode, job)
  local queue = isJson and type(fields) == 'table' and fields.queue
  if type(queue) == 'string' then counts[queue] = (counts[queue] or 0) + 1 end
end
local flat = { #jobs }
for queue, count in pairs(counts) do
  flat[#flat + 1] = queue
  flat[#flat + 1] = count
end
return answer(flat)
