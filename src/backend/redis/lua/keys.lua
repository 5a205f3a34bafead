-- The keys of a queue, and whose turn it is: start-time fair queueing, as in memory/keys.ts, where the order is explained.
--
--   keys:<queue>            name -> counts, head, turn and bucket of the key, packed
--   keyed:<queue>:<key>     its available jobs that need a slot, by priority and arrival
--   stopped:<queue>:<key>   those that hold one already if the settings say so
--   heads:<queue>:<rank>    keys that may start a job of that priority, by tag, then by its arrival
--   timed:<queue>           keys whose rate allows none yet, by when it does
--   idle:<queue>            keys without jobs that still have a turn or a start to answer for, by when their bucket is full
--
-- q.v.h0 … h9 and q.v.timed are the sizes of the lines; q.v.virtual is virtual time, q.v.finish the last turn of the jobs
-- without a key. O(log keys) for what changes a head.

local keys = {}

do
  local RANK = 2 ^ 49
  local KEY = '>I4I4I4I4ddBdddB'

  local touched
  onStart(function() touched = {} end)

  local function keyOf(q, name)
    q.keys = q.keys or {}
    local key = q.keys[name]
    if key then return key end
    key = { name = name, queue = q, running = 0, waiting = 0, again = 0, parked = 0, finish = 0, fullAt = 0, rank = 0, head = -1,
      tag = 0, permitAt = -1 }
    local packed = call('HGET', prefix .. 'keys:' .. q.no, name)
    if packed then
      local idle
      key.running, key.waiting, key.again, key.parked, key.finish, key.fullAt, key.rank, key.head, key.tag, key.permitAt, idle =
        struct.unpack(KEY, packed)
      key.isIdle = idle == 1
    end
    q.keys[name] = key
    return key
  end

  local function saveKeys()
    for no, q in pairs(loaded) do
      if q.keys then
        local written, gone = {}, {}
        for name, key in pairs(q.keys) do
          if key.isDropped then
            gone[#gone + 1] = name
          elseif key.isChanged then
            written[#written + 1] = name
            written[#written + 1] = struct.pack(KEY, key.running, key.waiting, key.again, key.parked, key.finish, key.fullAt,
              key.rank, key.head, key.tag, key.permitAt, key.isIdle and 1 or 0)
          end
        end
        many('HSET', prefix .. 'keys:' .. no, written)
        many('HDEL', prefix .. 'keys:' .. no, gone)
      end
    end
  end
  onEnd(saveKeys)

  local function lineOf(key, stopped) return prefix .. (stopped and 'stopped:' or 'keyed:') .. key.queue.no .. ':' .. key.name end

  local function peekKeyed(key, stopped)
    local first = call('ZRANGE', lineOf(key, stopped), 0, 0, 'WITHSCORES')
    if #first == 0 then return nil end
    local score = tonumber(first[2])
    local rank = math.floor(score / RANK)
    return score - rank * RANK, rank, score
  end

  local function countKeyed(key, job, by)
    if job.state == 'running' then
      key.running = key.running + by
    elseif isWaiting(job.state) then
      key.waiting = key.waiting + by
      if job.stopped then key.again = key.again + by end
    elseif job.stopped then
      key.parked = key.parked + by
    end
    key.isChanged, key.isDropped = true, nil
    touched[job.queue.no] = touched[job.queue.no] or {}
    touched[job.queue.no][key.name] = true
  end

  -- A job is in the state that it carries. To be followed by `arrange`, as `exit` is.
  function keys.enter(job)
    if not job.key then return end
    local key = keyOf(job.queue, job.key)
    countKeyed(key, job, 1)
    if job.state == 'available' then
      call('ZADD', lineOf(key, job.stopped), job.priority * RANK + job.number, pad(job.number))
    end
  end

  function keys.exit(job)
    if not job.key then return end
    local key = keyOf(job.queue, job.key)
    countKeyed(key, job, -1)
    if job.state == 'available' then call('ZREM', lineOf(key, job.stopped), pad(job.number)) end
  end

  local function headMember(key) return pad(key.head) .. key.name end

  local function leaveHeads(key)
    local field = H[key.rank]
    call('ZREM', prefix .. 'heads:' .. key.queue.no .. ':' .. key.rank, headMember(key))
    key.queue.v[field] = key.queue.v[field] - 1
  end

  -- The job of the key that may start, its priority; nil when none may.
  local function nextOfKey(key)
    local settings = key.queue.settings.keys
    local concurrency, onFailure = settings.concurrency, settings.onFailure
    local holding = (onFailure == 'skip' and 0 or key.again) + (onFailure == 'park' and key.parked or 0)
    local isFree = concurrency == nil or key.running + holding < concurrency
    local fresh, freshRank, freshScore, stopped, stoppedRank, stoppedScore
    if isFree and key.waiting > key.again then fresh, freshRank, freshScore = peekKeyed(key, false) end
    if key.again > 0 and (isFree or onFailure ~= 'skip') then stopped, stoppedRank, stoppedScore = peekKeyed(key, true) end
    if fresh and (not stopped or freshScore < stoppedScore) then return fresh, freshRank end
    return stopped, stoppedRank
  end

  -- Forgets the key; one with jobs that have stopped for good is still counted.
  local function dropKey(key)
    key.finish, key.fullAt, key.isChanged = 0, 0, true
    if key.parked == 0 then key.isDropped = true end
  end

  local function wakeKey(key)
    if key.isIdle then call('ZREM', prefix .. 'idle:' .. key.queue.no, key.name) end
    key.isIdle = false
  end

  -- The key stands where it belongs: in line with its next job, in wait of its rate, or nowhere.
  local function place(key)
    local q = key.queue
    local settings = q.settings.keys
    local rate = settings.rate
    wakeKey(key)
    local nextNumber, rank = nextOfKey(key)
    local isEarly = nextNumber ~= nil and rate ~= nil and permits(rate, key.fullAt) < 1
    local permitAt = isEarly and math.max(now + 1, nextPermit(rate, key.fullAt)) or -1
    local head = nextNumber and not isEarly and nextNumber or -1
    if head ~= key.head or permitAt ~= key.permitAt or (head >= 0 and rank ~= key.rank) then
      if key.head >= 0 then leaveHeads(key) end
      if key.permitAt >= 0 then
        call('ZREM', prefix .. 'timed:' .. q.no, key.name)
        q.v.timed = q.v.timed - 1
      end
      if head >= 0 and head ~= key.head then key.tag = math.max(q.v.virtual, key.finish) end
      key.head, key.rank, key.permitAt = head, head >= 0 and rank or 0, permitAt
      if head >= 0 then
        local field = H[rank]
        call('ZADD', prefix .. 'heads:' .. q.no .. ':' .. rank, key.tag, headMember(key))
        q.v[field] = q.v[field] + 1
      end
      if permitAt >= 0 then
        call('ZADD', prefix .. 'timed:' .. q.no, permitAt, key.name)
        q.v.timed = q.v.timed + 1
      end
    end
    key.isChanged = true
    -- An idle key is dropped at once when nobody could tell the difference, else by `tidy`.
    if key.running + key.waiting == 0 and (key.parked == 0 or settings.onFailure ~= 'park') then
      if key.parked == 0 and key.fullAt <= now and key.finish <= q.v.virtual then
        dropKey(key)
      elseif key.finish > 0 or key.fullAt > 0 then
        call('ZADD', prefix .. 'idle:' .. q.no, key.fullAt, key.name)
        key.isIdle = true
      end
    end
  end

  -- After one or many steps: each key stands where it belongs now, and what was so in between has left no mark.
  function keys.arrange()
    for no, names in pairs(touched) do
      for name in pairs(names) do place(keyOf(loaded[no], name)) end
    end
    touched = {}
  end

  -- The first of the line: its key, or nil when there is no turn to take.
  function keys.first(q)
    for rank = 0, 9 do
      if q.v[H[rank]] > 0 then
        local first = call('ZRANGE', prefix .. 'heads:' .. q.no .. ':' .. rank, 0, 0)
        return keyOf(q, string.sub(first[1], 16))
      end
    end
    return nil
  end

  -- Keys whose rate allows a job by now stand in line again.
  function keys.promote(q)
    while q.v.timed > 0 do
      local first = call('ZRANGE', prefix .. 'timed:' .. q.no, 0, 0, 'WITHSCORES')
      if #first == 0 or tonumber(first[2]) > now then return end
      place(keyOf(q, first[1]))
    end
  end

  function keys.nextPermit(q)
    if q.v.timed == 0 then return math.huge end
    local first = call('ZRANGE', prefix .. 'timed:' .. q.no, 0, 0, 'WITHSCORES')
    return tonumber(first[2]) or math.huge
  end

  -- A clock that was put back may forbid what it allowed before: such a key leaves the line again.
  function keys.check(q)
    local rate = q.settings.keys.rate
    local key = rate and keys.first(q)
    while key and permits(rate, key.fullAt) < 1 do
      place(key)
      key = keys.first(q)
    end
  end

  -- A key's own weight.
  local function weightOf(q, name) return (q.settings.keys.weights or {})[name] or 1 end

  -- Whose turn it is, given the next job without a key (its number and priority, or nil): the number of the job of a key, or
  -- nil for that one. What the turn costs is charged.
  function keys.turn(q, key, plain, plainRank)
    local rate = q.settings.keys.rate
    if plain then
      local tag = math.max(q.v.virtual, q.v.finish)
      local isPlain = plainRank < key.rank
        or (plainRank == key.rank and (tag < key.tag or (tag == key.tag and plain < key.head)))
      if isPlain then
        q.v.virtual = tag
        q.v.finish = tag + 1 / weightOf(q, '')
        return nil
      end
    end
    q.v.virtual = math.max(q.v.virtual, key.tag)
    key.finish = key.tag + 1 / weightOf(q, key.name)
    if rate then key.fullAt = taken(rate, key.fullAt, 1) end
    leaveHeads(key)
    local head = key.head
    key.head, key.isChanged = -1, true
    return head
  end

  function keys.configure(q)
    local names = call('HKEYS', prefix .. 'keys:' .. q.no)
    for _, name in ipairs(names) do place(keyOf(q, name)) end
  end

  -- Forgets idle keys whose bucket is full, at most `limit`; how many.
  function keys.tidy(q, limit)
    if q.v.plain == 0 and q.v.finish ~= 0 then q.v.finish = 0 end
    if limit <= 0 then return 0 end
    local over = call('ZRANGEBYSCORE', prefix .. 'idle:' .. q.no, '-inf', now, 'LIMIT', 0, limit)
    for _, name in ipairs(over) do
      local key = keyOf(q, name)
      wakeKey(key)
      dropKey(key)
    end
    return #over
  end
end

local arrange = keys.arrange

-- Whether there is a turn to take, or will be when a rate allows one.
local function hasKeys(q)
  for rank = 0, 9 do if q.v[H[rank]] > 0 then return true end end
  return q.v.timed > 0
end
