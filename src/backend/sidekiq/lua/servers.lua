-- What a server holds, and how it is let go.

local LAST_CHANCE, CRASHES_FOR = 60000, 259200000

-- { claim, queue, job } each, in order of their claims.
local function heldBy(server)
  local flat = call('HGETALL', own .. 'held:' .. server)
  local held = {}
  for i = 1, #flat, 2 do
    local record = cmsgpack.unpack(flat[i + 1])
    held[#held + 1] = { claim = tonumber(flat[i]), queue = record[1], at = record[2], job = record[3] }
  end
  table.sort(held, function(a, b) return a.claim < b.claim end)
  return held
end

-- What names a job through its crashes.
local function nameOf(job)
  local isJson, fields = pcall(cjson.decode, job)
  local jid = isJson and type(fields) == 'table' and fields.jid
  return type(jid) == 'string' and jid or redis.sha1hex(job)
end

-- How often its servers have died, this time included.
local function countCrash(name)
  call('ZADD', own .. 'crashed', now, name)
  return call('HINCRBY', own .. 'crashes', name, 1)
end

-- The server is gone. `crash`: it died, { class, message, most } say what becomes of its jobs. Returns how many.
local function dismiss(server, crash)
  local orders = own .. 'orders:' .. server
  local held = heldBy(server)
  local back = {}
  for _, each in ipairs(held) do
    local order = call('HGET', orders, each.claim)
    local count = not order and crash and countCrash(nameOf(each.job)) or 0
    if order then
      bury('cancelled', withError(each.job, 'MILLRACE_JOB_CANCELLED', cmsgpack.unpack(order)[2]))
    elseif count == 0 or count < crash.most - 1 then
      back[each.queue] = back[each.queue] or {}
      table.insert(back[each.queue], each.job)
    elseif count >= crash.most then
      bury('dead', withError(each.job, crash.class, crash.message))
    else
      call('ZADD', wire .. 'retry', seconds(now + LAST_CHANCE), withError(each.job, crash.class, crash.message))
      tell('q:' .. each.queue)
    end
  end
  for queue, jobs in pairs(back) do putFirst(queue, jobs) end
  local identity = call('HGET', own .. 'identities', server)
  if identity then
    call('SREM', wire .. 'processes', identity)
    call('DEL', wire .. identity, wire .. identity .. ':work', wire .. identity .. ':workers', wire .. identity .. '-signals')
  end
  for _, name in ipairs({ 'servers', 'identities', 'signals' }) do call('HDEL', own .. name, server) end
  call('ZREM', own .. 'beats', server)
  call('DEL', own .. 'held:' .. server, own .. 'notes:' .. server, orders)
  return #held
end
