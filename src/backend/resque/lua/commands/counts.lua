-- Of every queue: name, waiting, completed, settings (msgpack or false).

local names = call('SMEMBERS', prefix .. 'queues')
local known = {}
for _, name in ipairs(names) do known[name] = true end
for _, name in ipairs(call('HKEYS', own .. 'settings')) do
  if not known[name] then names[#names + 1] = name end
end
local all = {}
for i, name in ipairs(names) do
  all[i] = { name, call('LLEN', prefix .. 'queue:' .. name), tonumber(call('HGET', own .. 'completed', name) or 0),
    call('HGET', own .. 'settings', name) }
end
local paused = call('GET', prefix .. 'pause-all-workers')
return answer({ queues = all, paused = paused and string.lower(string.match(paused, '^%s*(.-)%s*$')) == 'true' or false })
