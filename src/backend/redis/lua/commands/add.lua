-- Stores groups of jobs: see groups.lua.

readGroups()
addGroups()
return answer(storedAnswer())
