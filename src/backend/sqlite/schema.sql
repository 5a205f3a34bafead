-- The schema that the migrations lead to. Kept true by schema.test.ts.

CREATE TABLE store (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  id TEXT NOT NULL,             -- first part of every job id
  next_job INTEGER NOT NULL     -- never goes back, so no id is given twice
) STRICT;

CREATE TABLE queues (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  paused INTEGER NOT NULL DEFAULT 0,
  scheduled INTEGER NOT NULL DEFAULT 0,
  retryable INTEGER NOT NULL DEFAULT 0,
  available INTEGER NOT NULL DEFAULT 0,
  running INTEGER NOT NULL DEFAULT 0,
  discarded INTEGER NOT NULL DEFAULT 0,
  cancelled INTEGER NOT NULL DEFAULT 0,
  completed INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE names (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE servers (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  pid_space TEXT NOT NULL,      -- where the pid means something; '' = nowhere we know
  pid_started TEXT NOT NULL,    -- tells the process from a later one with the same pid
  queues TEXT NOT NULL,         -- JSON
  concurrency INTEGER NOT NULL,
  beat_at INTEGER NOT NULL
) STRICT;

CREATE TABLE sqlite_sequence(name,seq);

CREATE TABLE jobs (
  number INTEGER PRIMARY KEY,   -- order of arrival, second part of the id
  state INTEGER NOT NULL,       -- 2 scheduled, 3 retryable, 4 available, 5 running, 6 discarded, 7 cancelled
  server INTEGER,               -- who runs it
  claim INTEGER NOT NULL,       -- how often it was claimed: the fencing token
  queue INTEGER NOT NULL,
  name INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  crashes INTEGER NOT NULL,
  run_at INTEGER NOT NULL,      -- ms since the epoch, like every time here
  added_at INTEGER NOT NULL,
  ended_at INTEGER,
  errors TEXT,                  -- JSON, oldest first
  payload BLOB NOT NULL         -- last, so that a long one stands in nobody's way
) STRICT;

CREATE INDEX ready ON jobs (queue, priority, run_at) WHERE state = 4;

CREATE INDEX due ON jobs (queue, state, run_at) WHERE state <= 3;

CREATE INDEX held ON jobs (server) WHERE state = 5;

CREATE TABLE once (
  key TEXT PRIMARY KEY,
  fingerprint TEXT NOT NULL,
  first_job INTEGER NOT NULL,
  jobs INTEGER NOT NULL,
  until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX once_until ON once (until);

PRAGMA application_id = 1298754668;
PRAGMA user_version = 1;
