-- goworker's message about a class that nobody registered, which shows the arguments as Go prints them.

local function goNumber(value)
  local precision, text = 0, nil
  repeat
    text = string.format('%.' .. precision .. 'e', value)
    precision = precision + 1
  until tonumber(text) == value or precision > 16
  local exponent = tonumber(string.match(text, 'e(.*)$'))
  if exponent < -4 or exponent >= 6 then return text end
  return string.format('%.' .. math.max(0, precision - 1 - exponent) .. 'f', value)
end

local function goText(value)
  if value == cjson.null then return '<nil>' end
  if type(value) == 'number' then return goNumber(value) end
  if type(value) ~= 'table' then return tostring(value) end
  local all = {}
  if #value > 0 or next(value) == nil then
    for i, each in ipairs(value) do all[i] = goText(each) end
    return '[' .. table.concat(all, ' ') .. ']'
  end
  local names = {}
  for name in pairs(value) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do all[i] = name .. ':' .. goText(value[name]) end
  return 'map[' .. table.concat(all, ' ') .. ']'
end

local function noWorker(queue, bytes)
  local job = cjson.decode(bytes)
  return 'No worker for ' .. job.class .. ' in queue ' .. queue .. ' with args ' .. goText(job.args or {})
end
