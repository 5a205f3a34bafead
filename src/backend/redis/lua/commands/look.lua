-- A walk through jobs in order of arrival: those behind ask.from that match, at most ask.limit of them and until ask.most jobs
-- were gone through.
--
-- ask.refs: only these. What runs or has ended is looked for where it stands, so that it is found without a walk through what
-- waits. The answer: `jobs` (ref, number, record, status or '', extras or false, server or false, log lines each), `last`: where
-- to go on; absent: that was all; `seen`: how many were gone through.

readFilter()
local found, seen, last = {}, 0, ask.from
local MOST_BYTES = 4 * 1024 * 1024
local bytes = 0

local function show(job, status)
  local extra = job.extra and call('HGET', EXTRAS, job.number) or false
  local log = job.logged and call('LRANGE', prefix .. 'log:' .. job.number, 0, -1) or {}
  local server = job.state == 'running' and call('HGET', prefix .. 'serverName', job.server) or false
  bytes = bytes + #job.record + (extra and #extra or 0)
  for _, line in ipairs(log) do bytes = bytes + #line end
  found[#found + 1] = { refOf(job), job.number, job.record, status or '', extra, server, log }
end

-- False when it is time to stop.
local function visit(number, rec, status)
  if #found >= ask.limit or seen >= ask.most or bytes > MOST_BYTES then return false end
  seen, last = seen + 1, number
  local job = decoded(number, rec, status)
  if matches(job) then show(job, status) end
  return true
end

local function visitAll(numbers)
  table.sort(numbers)
  local before
  for _, number in ipairs(numbers) do
    local rec = number > ask.from and number ~= before and recordOf(number)
    before = number
    if rec and not visit(number, rec, readStatus(number)) then return false end
  end
  return true
end

local function visitPages()
  local page = math.floor((ask.from + 1) / PAGE)
  while true do
    local pages = call('ZRANGEBYSCORE', prefix .. 'pages', page, '+inf', 'LIMIT', 0, 8)
    if #pages == 0 then return true end
    for _, each in ipairs(pages) do
      page = tonumber(each)
      local records = call('LRANGE', prefix .. 'page:' .. page, 0, -1)
      local gone = setOf(call('SMEMBERS', prefix .. 'gone:' .. page))
      local numbers = {}
      for place in ipairs(records) do numbers[place] = page * PAGE + place - 1 end
      local statuses = readStatuses(numbers)
      for place, rec in ipairs(records) do
        local number = numbers[place]
        if number > ask.from and not gone[tostring(place - 1)] and not visit(number, rec, statuses[place]) then return false end
      end
    end
    page = page + 1
  end
end

-- The numbers of what runs or has ended; nil when that is not what is looked for, or too many to be brought into order.
local function standing()
  if not states then return nil end
  for state in pairs(states) do if isWaiting(state) then return nil end end
  local numbers = {}
  local queues = {}
  if filter.queue then
    queues[1] = findQueue(filter.queue) or nil
  else
    for no = 1, call('HLEN', prefix .. 'queues') do queues[no] = queue(no) end
  end
  local count = 0
  for _, q in pairs(queues) do
    for state in pairs(states) do count = count + q.v[state == 'completed' and 'kept' or state] end
  end
  if count > ask.scan then return nil end
  for _, q in pairs(queues) do
    for state in pairs(states) do
      if state ~= 'running' then
        for _, member in ipairs(call('ZRANGE', prefix .. 'ended:' .. q.no .. ':' .. state, 0, -1)) do
          numbers[#numbers + 1] = tonumber(member)
        end
      end
    end
  end
  if states.running then
    for _, server in ipairs(call('HVALS', prefix .. 'server')) do
      for _, number in ipairs(call('SMEMBERS', prefix .. 'held:' .. server)) do numbers[#numbers + 1] = tonumber(number) end
    end
  end
  return numbers
end

local isAll
if ask.refs then
  local numbers = {}
  for _, ref in ipairs(ask.refs) do numbers[#numbers + 1] = resolve(ref) or nil end
  isAll = visitAll(numbers)
else
  local numbers = standing()
  if numbers then isAll = visitAll(numbers) else isAll = visitPages() end
end
return answer({ jobs = found, seen = seen, last = not isAll and last or nil })
