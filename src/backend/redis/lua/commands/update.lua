-- Changes waiting jobs. ask.changes: { ref, to } each. The answer: a word per change.

local results = {}
for i, each in ipairs(ask.changes) do
  local job = find(each.ref)
  if not job then
    results[i] = 'unknown'
  elseif not isWaiting(job.state) then
    results[i] = 'busy'
  else
    fates.change(job, each.to)
    arrange()
    results[i] = 'changed'
  end
end
return answer(results)
