-- Forgets what is over: crashes of long ago, ask.limit at most, and the dead and cancelled whose time has come. How many.

local old = call('ZRANGEBYSCORE', own .. 'crashed', '-inf', now - CRASHES_FOR, 'LIMIT', 0, ask.limit)
if #old > 0 then
  many('HDEL', own .. 'crashes', old)
  many('ZREM', own .. 'crashed', old)
end
return answer(#old + trim('dead') + trim('cancelled'))
