-- Stores groups of jobs: see groups.lua.

addGroups()
return answer({ first = stored.first, existing = stored.existing, others = stored.others })
