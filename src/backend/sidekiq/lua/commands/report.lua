-- What running jobs say of themselves, for as long as they run. ask.server; ask.reports: { id, claim, progress, log } each.

local LINES = 1000

local held, notes = own .. 'held:' .. ask.server, own .. 'notes:' .. ask.server
local results = {}
for i, report in ipairs(ask.reports) do
  local record = call('HGET', held, report.claim)
  local isHeld = record and isSame(record, report.id)
  results[i] = isHeld and '1' or '0'
  if isHeld and (report.progress or report.log) then
    local before = call('HGET', notes, report.claim)
    local note = before and cmsgpack.unpack(before) or { log = {} }
    note.progress = report.progress or note.progress
    for _, line in ipairs(report.log or {}) do table.insert(note.log, line) end
    local first = math.max(1, #note.log - LINES + 1)
    note.log = { unpack(note.log, first, #note.log) }
    call('HSET', notes, report.claim, cmsgpack.pack(note))
  end
end
return answer(table.concat(results))
