-- The first note on each of these jobs, false for none. ask.names.

local all = {}
for i, name in ipairs(ask.names) do
  local packed = call('HGET', NOTES, name)
  all[i] = packed and cmsgpack.unpack(packed)[1] or false
end
return answer(all)
