-- Progress and log lines of running jobs. ask.server; ask.reports: { ref, claim, progress, log: lines of { at, text } }.
-- The answer: as of settle. Servers ask with neither for all that they hold, so whether they do is read in one go.

local LINES = 1000

local server = tonumber(call('HGET', prefix .. 'server', ask.server) or -1)
local results = {}

local numbers = {}
for i, report in ipairs(ask.reports) do numbers[i] = resolve(report.ref) or -1 end
local statuses = readStatuses(numbers)

for i, report in ipairs(ask.reports) do
  local isHeld = statuses[i] and isHeldBy(statuses[i], server, report.claim)
  results[i] = isHeld and '1' or '0'
  if isHeld and (report.progress or report.log) then
    local job = loadLive(numbers[i])
    local extra, logged = job.extra, job.logged
    if report.log and #report.log > 0 then
      local lines = {}
      for place, line in ipairs(report.log) do lines[place] = cmsgpack.pack(line) end
      many('RPUSH', prefix .. 'log:' .. job.number, lines)
      call('LTRIM', prefix .. 'log:' .. job.number, -LINES, -1)
      job.logged = true
    end
    if report.progress then
      local all = extras(job)
      all.progress = report.progress
      saveExtras(job, all)
      tell(job, 'progress', report.progress)
    end
    if job.extra ~= extra or job.logged ~= logged then save(job) end
  end
end
return answer(table.concat(results))
