-- The numbers that the events of all shards have, in the cluster: they themselves stay where they were recorded.
--
--   cursors      msgpack: up to which of its own numbers each shard is numbered
--   numbered     the last number given
--   runs         first number -> msgpack { first, shard, from, count }: neighbours of one shard, by `first`
--   runs:<shard> `first` of the runs of a shard, in order

local function runAt(first) return cmsgpack.unpack(call('ZRANGEBYSCORE', prefix .. 'runs', first, first)[1]) end

local function putRun(first, shard, from, count)
  call('ZADD', prefix .. 'runs', text(first), cmsgpack.pack({ first, shard, from, count }))
  call('RPUSH', prefix .. 'runs:' .. shard, text(first))
end

-- Forgets runs of which the shard keeps nothing any more, a bounded number.
local function pruneRuns(shard, kept)
  local line = prefix .. 'runs:' .. shard
  for _ = 1, 1000 do
    local first = call('LINDEX', line, 0)
    if not first then return end
    local run = runAt(first)
    if run[3] + run[4] > kept then return end
    call('LPOP', line)
    call('ZREMRANGEBYSCORE', prefix .. 'runs', first, first)
  end
end
