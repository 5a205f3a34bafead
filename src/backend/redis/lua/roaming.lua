-- In a cluster a server has a home, which says whether it is known, and where else it is: `where` has the shards of each.

-- Notes that it is at `shards`, too. Returns all, and whether that is news.
local function noteWhere(id, shards)
  local packed = call('HGET', prefix .. 'where', id)
  local all, known, isNew = packed and cmsgpack.unpack(packed) or {}, {}, false
  for _, shard in ipairs(all) do known[shard] = true end
  for _, shard in ipairs(shards) do
    if not known[shard] then
      known[shard], isNew = true, true
      all[#all + 1] = shard
    end
  end
  if isNew then call('HSET', prefix .. 'where', id, cmsgpack.pack(all)) end
  return all, isNew
end
