-- Who works here. Ours: { info, last beat, how many it holds }; others of Sidekiq's processes: { false, info, busy, beat }.

local all, known = {}, {}
local flat = call('HGETALL', own .. 'servers')
for i = 1, #flat, 2 do
  local beatAt = tonumber(call('ZSCORE', own .. 'beats', flat[i]))
  all[#all + 1] = { flat[i + 1], beatAt, call('HLEN', own .. 'held:' .. flat[i]) }
end
for _, identity in ipairs(call('HVALS', own .. 'identities')) do known[identity] = true end
for _, identity in ipairs(call('SMEMBERS', wire .. 'processes')) do
  local fields = not known[identity] and call('HMGET', wire .. identity, 'info', 'busy', 'beat')
  if fields and fields[1] then all[#all + 1] = { false, fields[1], fields[2], fields[3] } end
end
return answer(all)
