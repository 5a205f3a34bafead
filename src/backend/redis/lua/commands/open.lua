-- The store's part of the ids, ask.store if there was none, and the moment. ask.layout: how this program lays out the keys;
-- jobs of a later one are left alone.

call('SET', prefix .. 'layout', ask.layout, 'NX')
local layout = call('GET', prefix .. 'layout')
if tonumber(layout) > ask.layout then return failure('SCHEMA_TOO_NEW', layout) end
call('SET', prefix .. 'store', ask.store, 'NX')
return answer({ call('GET', prefix .. 'store'), now })
