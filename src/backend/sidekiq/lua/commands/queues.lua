-- The queues: { name, how many wait in the list, how many completed, is paused } each; and the queues of what is held.

local names = {}
for _, name in ipairs(call('SMEMBERS', QUEUES)) do names[name] = true end
for _, name in ipairs(call('SMEMBERS', wire .. 'paused')) do names[name] = true end
for _, name in ipairs(call('HKEYS', own .. 'completed')) do names[name] = true end
local running = {}
for _, server in ipairs(call('HKEYS', own .. 'servers')) do
  for _, record in ipairs(call('HVALS', own .. 'held:' .. server)) do
    local queue = cmsgpack.unpack(record)[1]
    running[queue] = (running[queue] or 0) + 1
    names[queue] = true
  end
end
local all = {}
for name in pairs(names) do
  local completed = tonumber(call('HGET', own .. 'completed', name) or 0)
  local isPaused = call('SISMEMBER', wire .. 'paused', name) == 1
  all[#all + 1] = { name, call('LLEN', queueKey(name)), running[name] or 0, completed, isPaused }
end
return answer(all)
