-- The schema that the migrations lead to. Kept true by schema.test.ts.

CREATE TABLE millrace_store (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  id TEXT NOT NULL,             -- first part of every job id
  schema INTEGER NOT NULL,
  next_job INTEGER NOT NULL,    -- never goes back, so no id is given twice
  next_event INTEGER NOT NULL DEFAULT 1,
  orders INTEGER NOT NULL DEFAULT 0,      -- this and the next two go up with each change: other processes look at them
  news INTEGER NOT NULL DEFAULT 0,
  schedules INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE millrace_queues (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  scheduled INTEGER NOT NULL DEFAULT 0,
  retryable INTEGER NOT NULL DEFAULT 0,
  available INTEGER NOT NULL DEFAULT 0,
  running INTEGER NOT NULL DEFAULT 0,
  discarded INTEGER NOT NULL DEFAULT 0,
  cancelled INTEGER NOT NULL DEFAULT 0,
  completed INTEGER NOT NULL DEFAULT 0,    -- since the queue exists
  quarantined INTEGER NOT NULL DEFAULT 0,
  kept INTEGER NOT NULL DEFAULT 0,         -- completed ones that have a record
  keyed INTEGER NOT NULL DEFAULT 0,        -- available ones that have a key
  live INTEGER NOT NULL DEFAULT 0,         -- waiting and running ones that have a key
  line INTEGER NOT NULL DEFAULT 0,         -- those of them that stand in line, one per key
  keys INTEGER NOT NULL DEFAULT 0,         -- rows of millrace_keys
  recorded INTEGER NOT NULL DEFAULT 0,     -- rows of millrace_events
  virtual REAL NOT NULL DEFAULT 0,         -- the time that keys are served by
  finish REAL NOT NULL DEFAULT 0,          -- of the jobs without a key
  full_at REAL NOT NULL DEFAULT 0,         -- the rate's bucket
  settings TEXT                            -- JSON; NULL = the defaults
) STRICT;

CREATE TABLE millrace_names (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE millrace_servers (
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

CREATE TABLE millrace_jobs (
  number INTEGER PRIMARY KEY,   -- order of arrival, second part of the id
  state INTEGER NOT NULL,       -- see wire.ts
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
  started_at INTEGER,           -- means nothing before the first claim, but has its place: a claim needs no space
  special INTEGER,              -- bits: what else belongs to it, see wire.ts; NULL = nothing
  key INTEGER,                  -- row of millrace_keys; may be gone when the job has ended
  major REAL,                   -- its place among those of its state, see millrace_other
  minor REAL,
  errors TEXT,                  -- JSON, oldest first
  extras TEXT,                  -- JSON: id, key, tags, headers, keepFor
  payload BLOB NOT NULL,        -- late, so that a long one stands in nobody's way
  result BLOB
) STRICT;

CREATE INDEX millrace_ready ON millrace_jobs (queue, priority, run_at) WHERE state = 4;

CREATE INDEX millrace_due ON millrace_jobs (queue, state, run_at) WHERE state <= 3;

CREATE INDEX millrace_held ON millrace_jobs (server) WHERE state = 5;

CREATE INDEX millrace_other ON millrace_jobs (queue, state, major, minor) WHERE state >= 6;

CREATE TABLE millrace_kept (
  at INTEGER NOT NULL,
  job INTEGER NOT NULL,
  PRIMARY KEY (at, job)
) STRICT, WITHOUT ROWID;

CREATE TABLE millrace_keys (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  queue INTEGER NOT NULL,
  name TEXT NOT NULL,
  running INTEGER NOT NULL DEFAULT 0,
  waiting INTEGER NOT NULL DEFAULT 0,
  again INTEGER NOT NULL DEFAULT 0,     -- those of the waiting ones that failed or were snoozed
  parked INTEGER NOT NULL DEFAULT 0,    -- failed for good
  finish REAL NOT NULL DEFAULT 0,       -- when its last turn ended
  full_at REAL NOT NULL DEFAULT 0,      -- the rate's bucket
  head INTEGER,                         -- its job that stands in line
  wake_at INTEGER,                      -- when the rate lets its next job stand in line
  idle INTEGER NOT NULL DEFAULT 1,      -- may be forgotten when its bucket is full
  UNIQUE (queue, name)
) STRICT;

CREATE INDEX millrace_keys_wake ON millrace_keys (queue, wake_at) WHERE wake_at IS NOT NULL;

CREATE INDEX millrace_keys_idle ON millrace_keys (full_at) WHERE idle = 1;

CREATE TABLE millrace_ids (
  id TEXT PRIMARY KEY,
  job INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE millrace_uniques (
  queue INTEGER NOT NULL,
  key TEXT NOT NULL,
  over INTEGER NOT NULL,        -- 1: the job has ended
  job INTEGER NOT NULL,
  own TEXT,                     -- the id that its caller gave
  added_at INTEGER NOT NULL,
  until INTEGER,                -- end of the period
  PRIMARY KEY (queue, key, over, job)
) STRICT, WITHOUT ROWID;

CREATE INDEX millrace_uniques_job ON millrace_uniques (job);

CREATE INDEX millrace_uniques_until ON millrace_uniques (until) WHERE until IS NOT NULL;

CREATE TABLE millrace_once (
  key TEXT PRIMARY KEY,
  fingerprint TEXT NOT NULL,
  first_job INTEGER NOT NULL,
  jobs INTEGER NOT NULL,
  ids TEXT,                     -- JSON, when they are not the numbers from first_job on
  until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX millrace_once_until ON millrace_once (until);

CREATE TABLE millrace_orders (
  job INTEGER PRIMARY KEY,
  server INTEGER NOT NULL,
  reason TEXT NOT NULL
) STRICT;

CREATE INDEX millrace_orders_server ON millrace_orders (server);

CREATE TABLE millrace_notes (
  job INTEGER PRIMARY KEY,
  progress TEXT,                -- JSON
  lines INTEGER NOT NULL        -- said so far; the last ones are kept
) STRICT;

CREATE TABLE millrace_log (
  job INTEGER NOT NULL,
  line INTEGER NOT NULL,
  at REAL NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (job, line)
) STRICT, WITHOUT ROWID;

CREATE TABLE millrace_schedules (
  key TEXT PRIMARY KEY,
  rule TEXT NOT NULL,
  job TEXT NOT NULL,            -- JSON, without the payload
  payload BLOB NOT NULL,
  next_at INTEGER,
  last_at INTEGER,
  fired INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX millrace_schedules_due ON millrace_schedules (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE millrace_events (
  number INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  queue INTEGER NOT NULL,
  name INTEGER NOT NULL,
  job INTEGER NOT NULL,
  own TEXT,                     -- the id that its caller gave
  kind TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  text TEXT
) STRICT;

CREATE INDEX millrace_events_queue ON millrace_events (queue);

PRAGMA application_id = 1298754668;
PRAGMA user_version = 2;
