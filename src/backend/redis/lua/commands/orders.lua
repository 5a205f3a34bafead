-- What others want of the jobs that a server runs. ask.id. The answer: { ref, claim, reason } each.

local server = call('HGET', prefix .. 'server', ask.id)
local held = server and call('SMEMBERS', prefix .. 'held:' .. server) or {}
local orders = {}
for i, status in ipairs(values(STATUS, held)) do
  if status and bit.band(string.byte(status, 2), ORDERED) > 0 then
    local job = load(tonumber(held[i]))
    orders[#orders + 1] = { refOf(job), job.claim, extras(job).order }
  end
end
return answer(orders)
