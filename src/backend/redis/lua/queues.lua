-- Queues: their numbers, settings, and templates.

local defaults = {
  paused = false,
  keys = { concurrency = 1, onFailure = 'block', weights = {} },
  maxCrashes = 3,
  retention = {
    completed = { count = 10000, age = 30 * 86400000 },
    discarded = { count = 10000, age = 180 * 86400000 },
    cancelled = { count = 1000, age = 7 * 86400000 },
    quarantined = { count = 10000, age = 180 * 86400000 },
  },
  events = 0,
}

-- Names of a queue's numbers by priority, so that they need not be made each time.
local P = { [0] = 'p0', 'p1', 'p2', 'p3', 'p4', 'p5', 'p6', 'p7', 'p8', 'p9' }
local W = { [0] = 'w0', 'w1', 'w2', 'w3', 'w4', 'w5', 'w6', 'w7', 'w8', 'w9' }
local X = { [0] = 'x0', 'x1', 'x2', 'x3', 'x4', 'x5', 'x6', 'x7', 'x8', 'x9' }
local H = { [0] = 'h0', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'h7', 'h8', 'h9' }
local LAST = { [0] = 'l0', 'l1', 'l2', 'l3', 'l4', 'l5', 'l6', 'l7', 'l8', 'l9' }

local zero = { __index = function() return 0 end }
local loaded

-- A queue by its number. `q.v` are its numbers, 0 where nothing was written:
--   scheduled available running retryable discarded cancelled quarantined   jobs in that state
--   kept        completed jobs that are kept             completed   jobs that completed, ever
--   p0 … p9     available jobs without a key             w0 … w9     those of them in `late:`
--   x0 … x9     dead entries in `fresh:`                 l0 … l9     runAt of the last entry in `fresh:`
--   plain       jobs without a key that wait or run      fullAt      the bucket of its rate
--   virtual finish h0 … h9 timed                         see keys.lua
local function queue(no)
  local q = loaded[no]
  if q then return q end
  local flat = call('HGETALL', prefix .. 'q:' .. no)
  local v, was = {}, {}
  q = { no = no, v = setmetatable(v, zero), was = was, settings = defaults }
  for i = 1, #flat, 2 do
    local field, value = flat[i], flat[i + 1]
    if field == 'name' then
      q.name = value
    elseif field == 'settings' then
      q.settings = cmsgpack.unpack(value)
    else
      v[field] = tonumber(value)
      was[field] = v[field]
    end
  end
  loaded[no] = q
  return q
end

local function findQueue(name)
  local no = call('HGET', prefix .. 'queues', name)
  return no and queue(tonumber(no))
end

local function queueOf(name)
  local q = findQueue(name)
  if q then return q end
  local no = call('HLEN', prefix .. 'queues') + 1
  call('HSET', prefix .. 'queues', name, no)
  call('HSET', prefix .. 'q:' .. no, 'name', name)
  q = queue(no)
  return q
end

-- Neither running nor ended.
local function waitingIn(q) return q.v.scheduled + q.v.available + q.v.retryable end

local function saveQueues()
  for no, q in pairs(loaded) do
    local changed = {}
    for field, value in pairs(q.v) do
      if q.was[field] ~= value then
        changed[#changed + 1] = field
        changed[#changed + 1] = value % 1 == 0 and text(value) or value
      end
    end
    many('HSET', prefix .. 'q:' .. no, changed)
  end
end

-- What most jobs of a kind have in common is written once, as a template.

local templates
onStart(function() loaded, templates = {}, {} end)

-- { queue number, name, priority, maxAttempts }
local function template(no)
  local known = templates[no]
  if not known then
    known = cmsgpack.unpack(call('HGET', prefix .. 'template', no))
    templates[no] = known
  end
  return known
end

local function templateOf(queueNo, name, priority, maxAttempts)
  local packed = cmsgpack.pack({ queueNo, name, priority, maxAttempts })
  local no = call('HGET', prefix .. 'templates', packed)
  if no then return tonumber(no) end
  no = call('HLEN', prefix .. 'templates') + 1
  call('HSET', prefix .. 'templates', packed, no)
  call('HSET', prefix .. 'template', no, packed)
  return no
end
