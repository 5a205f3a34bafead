-- What the wire cannot carry of a job that waits: its attempt, its crashes, its last error. Kept by what the job is known by, its
-- queue and the digest of its bytes. Equal jobs cannot be told apart, by nobody; so there may be several notes under one
-- name, and each of the equal jobs that is claimed takes one.
--
-- A note that nobody takes, because a peer ran the job, goes a day after it could have been taken (`tidy`).

local NOTES = own .. 'notes'
local KEEP = 86400000

local function nameOf(queue, bytes) return queue .. '/' .. redis.sha1hex(bytes) end

-- note: attempt, crashes, the moment at which it goes, the last error (an AttemptError as JSON, or nil). Nothing is written for a job that is as good as new.
local function note(queue, bytes, attempt, crashes, at, error)
  if attempt <= 1 and crashes == 0 then return end
  local name = nameOf(queue, bytes)
  local packed = call('HGET', NOTES, name)
  local notes = packed and cmsgpack.unpack(packed) or {}
  notes[#notes + 1] = { attempt, crashes, (at or now) + KEEP, error }
  call('HSET', NOTES, name, cmsgpack.pack(notes))
end

-- The note of one of these jobs, which is taken away; nil for most.
local function takeNote(queue, bytes)
  local name = nameOf(queue, bytes)
  local packed = call('HGET', NOTES, name)
  if not packed then return end
  local notes = cmsgpack.unpack(packed)
  local first = table.remove(notes, 1)
  if #notes > 0 then call('HSET', NOTES, name, cmsgpack.pack(notes)) else call('HDEL', NOTES, name) end
  return first
end
