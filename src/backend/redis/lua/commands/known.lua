-- Which of ask.names are in the hash ask.where: their places.

local known = {}
for place, value in ipairs(values(prefix .. ask.where, ask.names)) do
  if value then known[#known + 1] = place end
end
return answer(known)
