-- Records, in lists of 256 in order of arrival. By its number a record is one LINDEX; a batch is one RPUSH and one LRANGE per
-- page. Against a hash by number: 40 to 60 bytes less per job, and no table that is made anew as it grows
-- (bench/redis/layouts.ts). A page goes when all of it is done; what is done in a living page is only noted, in `gone:`.

local PAGE = 256

-- Numbers for `count` new jobs, the first of them.
local function newNumbers(count) return call('INCRBY', prefix .. 'number', count) - count end

-- The records of the numbers from `from` on, which are new.
local function putRecords(from, records)
  local at, size = 1, #records
  while at <= size do
    local place = from % PAGE
    local some = math.min(size - at + 1, PAGE - place)
    local page = (from - place) / PAGE
    if place == 0 then call('ZADD', prefix .. 'pages', page, page) end
    call('RPUSH', prefix .. 'page:' .. page, unpack(records, at, at + some - 1))
    from, at = from + some, at + some
  end
end

-- Numbers of jobs that this script removes; written at its end.
local removed, removedAll
onStart(function() removed, removedAll = {}, {} end)

-- False for a job that is no more.
local function recordOf(number)
  if removed[number] then return false end
  local place = number % PAGE
  local page = (number - place) / PAGE
  if call('SISMEMBER', prefix .. 'gone:' .. page, place) == 1 then return false end
  return call('LINDEX', prefix .. 'page:' .. page, place)
end

-- Of a job that is known to be there.
local function liveRecordOf(number)
  local place = number % PAGE
  return call('LINDEX', prefix .. 'page:' .. (number - place) / PAGE, place)
end

-- Of jobs that are known to be there: neighbours are read together.
local function recordsOf(numbers)
  local records, size, at = {}, #numbers, 1
  while at <= size do
    local first = numbers[at]
    local place = first % PAGE
    local run = 1
    while at + run <= size and numbers[at + run] == first + run and place + run < PAGE do run = run + 1 end
    local key = prefix .. 'page:' .. (first - place) / PAGE
    if run == 1 then
      records[at] = call('LINDEX', key, place)
    else
      local some = call('LRANGE', key, place, place + run - 1)
      for i = 1, run do records[at + i - 1] = some[i] end
    end
    at = at + run
  end
  return records
end

local function replaceRecord(number, record)
  local place = number % PAGE
  call('LSET', prefix .. 'page:' .. (number - place) / PAGE, place, record)
end

local function removeRecord(number)
  removed[number] = true
  removedAll[#removedAll + 1] = number
end

local function saveRemoved()
  local byPage = {}
  for _, number in ipairs(removedAll) do
    local place = number % PAGE
    local page = (number - place) / PAGE
    local places = byPage[page]
    if places then places[#places + 1] = text(place) else byPage[page] = { text(place) } end
  end
  for page, places in pairs(byPage) do
    local gone = prefix .. 'gone:' .. page
    local size, count = PAGE, #places
    if count < PAGE then
      call('SADD', gone, unpack(places))
      size, count = call('LLEN', prefix .. 'page:' .. page), call('SCARD', gone)
    end
    if count == size then
      call('DEL', gone, prefix .. 'page:' .. page)
      call('ZREM', prefix .. 'pages', page)
      -- The rest of the last page is left out: a page begins with its first number. Numbers never go back: see renew.lua.
      local next = (page + 1) * PAGE
      if size < PAGE and tonumber(call('GET', prefix .. 'number')) < next then call('SET', prefix .. 'number', text(next)) end
    end
  end
end
