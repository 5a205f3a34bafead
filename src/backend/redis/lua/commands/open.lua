-- The store's part of the ids, ask.store if there was none, and the moment.

call('SET', prefix .. 'store', ask.store, 'NX')
return answer({ call('GET', prefix .. 'store'), now })
