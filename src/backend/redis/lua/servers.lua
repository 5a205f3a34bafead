-- Servers: who they are (`servers`), their numbers (`server`, and back in `serverName`), when they beat (`beats`).

local function dismissServer(id, crash)
  local server = call('HGET', prefix .. 'server', id)
  if not server then return 0 end
  local held = call('SMEMBERS', prefix .. 'held:' .. server)
  for i, number in ipairs(held) do held[i] = tonumber(number) end
  table.sort(held)
  for _, number in ipairs(held) do fates.dismiss(load(number), crash) end
  arrange()
  call('HDEL', prefix .. 'server', id)
  call('HDEL', prefix .. 'serverName', server)
  call('HDEL', prefix .. 'servers', id)
  call('HDEL', prefix .. 'where', id)
  call('ZREM', prefix .. 'beats', id)
  return #held
end
