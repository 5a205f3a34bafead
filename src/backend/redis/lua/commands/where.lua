-- Where the server ask.id is besides at home.

local all = noteWhere(ask.id, {})
return answer(all)
