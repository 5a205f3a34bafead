-- Notes that nobody took in time. ask.limit: notes that are looked at. The answer: how many were removed.

local removed, looked, cursor = 0, 0, '0'
repeat
  local page = call('HSCAN', NOTES, cursor, 'COUNT', 100)
  cursor = page[1]
  for i = 1, #page[2], 2 do
    looked = looked + 1
    local left, all = {}, cmsgpack.unpack(page[2][i + 1])
    for _, its in ipairs(all) do if its[3] > now then left[#left + 1] = its end end
    removed = removed + #all - #left
    if #left == 0 then
      call('HDEL', NOTES, page[2][i])
    elseif #left < #all then
      call('HSET', NOTES, page[2][i], cmsgpack.pack(left))
    end
  end
until cursor == '0' or looked >= ask.limit
return answer(removed)
