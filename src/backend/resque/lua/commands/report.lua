-- Whether the server still holds these jobs. ask.server, ask.numbers, ask.slots. The answer as that of settle.

local server = findServer(ask.server)
local results = {}
for i, slot in ipairs(ask.slots) do
  local record = server and call('GET', prefix .. 'worker:' .. workerOf(server, slot))
  results[i] = record and isOf(record, ask.numbers[i]) and '1' or '0'
end
return answer(table.concat(results))
