-- Gives numbers to events, if ask.before is still how far that has come: then it is ask.cursors. ask.runs: { shard, gap, from,
-- count } each, in their order; `gap`: how many before it were dropped, which have numbers, too. ask.kept: per shard the first
-- event that is kept. The answer: whether it was done.

if (call('GET', prefix .. 'cursors') or '') ~= ask.before then return answer(false) end
call('SET', prefix .. 'cursors', ask.cursors)
local number = tonumber(call('GET', prefix .. 'numbered') or 0)
-- Whatever this server has lost (see renew.lua), no number is given twice.
local lost = tonumber(call('GET', prefix .. 'event') or 0)
number = math.max(number, lost - lost % 2 ^ 30)
for _, run in ipairs(ask.runs) do
  local shard, gap, from, count = run[1], run[2], run[3], run[4]
  number = number + gap
  if count > 0 then putRun(number + 1, shard, from, count) end
  number = number + count
end
call('SET', prefix .. 'numbered', text(number))
for shard, kept in ipairs(ask.kept) do pruneRuns(shard - 1, kept) end
return answer(true)
