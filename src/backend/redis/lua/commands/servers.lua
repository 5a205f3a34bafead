-- Every server: its info, when it beat, how many jobs it runs.

local all = {}
local beats = call('ZRANGE', prefix .. 'beats', 0, -1, 'WITHSCORES')
for i = 1, #beats, 2 do
  local id = beats[i]
  local server = call('HGET', prefix .. 'server', id)
  all[#all + 1] = { call('HGET', prefix .. 'servers', id), tonumber(beats[i + 1]), call('SCARD', prefix .. 'held:' .. server) }
end
return answer(all)
