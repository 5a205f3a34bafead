-- The first of ask.count stamps: for a call that goes to several shards.

return answer(reserveStamps(ask.count))
