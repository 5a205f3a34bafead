-- Stores groups of jobs: see groups.lua.

addGroups()
return answer(storedAnswer())
