-- Of every server: info, the moment of its last beat, how many jobs it holds.

local all = {}
for _, id in ipairs(call('ZRANGE', own .. 'beats', 0, -1)) do
  local server = findServer(id)
  if server then
    all[#all + 1] = { call('HGET', own .. 'server:' .. id, 'info'), tonumber(call('ZSCORE', own .. 'beats', id)),
      call('LLEN', own .. 'slots:' .. id) - call('LLEN', own .. 'free:' .. id) }
  end
end
return answer(all)
