-- A token bucket as one number, as in bucket.ts: the moment at which it will be full again.

local ROUNDING = 1e-6

local function burstOf(rate) return rate.burst or math.max(1, rate.limit) end

local function permits(rate, fullAt)
  local missing = math.max(0, fullAt - now) / (rate.per / rate.limit)
  return math.max(0, math.floor(burstOf(rate) - missing + ROUNDING))
end

local function taken(rate, fullAt, count) return math.max(fullAt, now) + count * rate.per / rate.limit end

local function nextPermit(rate, fullAt)
  local at = fullAt - (burstOf(rate) - 1) * (rate.per / rate.limit)
  return math.max(now, math.ceil(at - ROUNDING))
end
