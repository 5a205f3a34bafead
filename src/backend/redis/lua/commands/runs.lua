-- Runs of numbered events, at most ask.limit: those with numbers behind ask.after; or, with ask.before, the last ones that begin
-- before that number. The answer: `runs`, oldest first, `last`, the last number given, and `cursors` (see enumerate).

local runs = {}
local key = prefix .. 'runs'
if ask.after then
  local after = string.format('%.17g', ask.after)
  for _, packed in ipairs(call('ZREVRANGEBYSCORE', key, after, '-inf', 'LIMIT', 0, 1)) do
    local run = cmsgpack.unpack(packed)
    if run[1] + run[4] - 1 > ask.after then runs[1] = run end
  end
  for _, packed in ipairs(call('ZRANGEBYSCORE', key, '(' .. after, '+inf', 'LIMIT', 0, ask.limit)) do
    runs[#runs + 1] = cmsgpack.unpack(packed)
  end
elseif ask.before then
  local before = '(' .. string.format('%.17g', ask.before)
  for _, packed in ipairs(call('ZREVRANGEBYSCORE', key, before, '-inf', 'LIMIT', 0, ask.limit)) do
    table.insert(runs, 1, cmsgpack.unpack(packed))
  end
end
return answer({ runs = runs, last = tonumber(call('GET', prefix .. 'numbered') or 0), cursors = call('GET', prefix .. 'cursors') })
