-- What records name by its number: queue, name, priority, maxAttempts. ask.no.

local found = template(ask.no)
return answer({ queue(found[1]).name, found[2], found[3], found[4] })
