-- A server is gone on purpose: what it holds is handed back, in its order. ask.id.

local server = findServer(ask.id)
if server then
  handBack(server, allHeld(server))
  dismiss(server)
end
return answer(true)
