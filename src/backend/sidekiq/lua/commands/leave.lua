-- A server is gone on purpose: what it holds is handed back. ask.id.

dismiss(ask.id, nil)
return answer(true)
