-- Running jobs are to be cancelled. ask.jobs: { server, claim, job id, reason } each. The answer: '1' for those that run.

local results = {}
for i, job in ipairs(ask.jobs) do
  local runs = call('HEXISTS', own .. 'held:' .. job[1], job[2]) == 1
  results[i] = runs and '1' or '0'
  if runs then
    call('HSET', own .. 'orders:' .. job[1], job[2], cmsgpack.pack({ job[3], job[4] }))
    tell('s:' .. job[1])
  end
end
return answer(table.concat(results))
