-- What others want of the jobs that a server runs. ask.id. The answer: { claim, job id, reason } each.

local flat = call('HGETALL', own .. 'orders:' .. ask.id)
local orders = {}
for i = 1, #flat, 2 do
  local order = cmsgpack.unpack(flat[i + 1])
  orders[#orders + 1] = { tonumber(flat[i]), order[1], order[2] }
end
return answer(orders)
