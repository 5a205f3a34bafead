-- The part of a filter that is decided here; the text of errors and the fields of payloads are looked at by the client.
--
-- ask.filter: queue, name, key, tag, addedFrom, addedBefore; states (a list); ask.action and ask.meant: only jobs to which
-- that action has a meaning; `meant` lists the states that have to be named to be run again, and were.

local filter, states, meant

local function setOf(list)
  if not list then return nil end
  local set = {}
  for _, each in ipairs(list) do set[each] = true end
  return set
end

local function readFilter()
  filter = ask.filter or {}
  states, meant = setOf(filter.states), setOf(ask.meant) or {}
end

local function contains(list, wanted)
  for _, each in ipairs(list or {}) do if each == wanted then return true end end
  return false
end

local function isConcerned(state)
  local action = ask.action
  if not action then return true end
  if action == 'remove' then return state ~= 'running' end
  if action == 'cancel' then return state == 'running' or isWaiting(state) end
  if action == 'discard' then return isWaiting(state) end
  if state == 'completed' or state == 'quarantined' then return meant[state] == true end
  return state ~= 'running' and state ~= 'available'
end

local function matches(job)
  return (not filter.queue or job.queue.name == filter.queue)
    and (not filter.name or job.name == filter.name)
    and (not states or states[job.state] == true)
    and (not filter.key or job.key == filter.key)
    and (not filter.tag or contains(job.facts and job.facts.tags, filter.tag))
    and (not filter.addedFrom or job.addedAt >= filter.addedFrom)
    and (not filter.addedBefore or job.addedAt < filter.addedBefore)
    and isConcerned(job.state)
end
