/**
 * The second schema: jobs with keys, unique rules, results and ids of their own; schedules, events, orders, notes.
 *
 * Every table has our name in front, so that they can live in a file of another program, and the version of the schema
 * stands in a table instead of the file's header. A new file begins here; what the first schema left is carried over.
 */
export const sql = `
-- One row: what makes these jobs different from all others, and what was given out.
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

-- Counts are changed once per transaction, not per job, and are right for every process that shares the file.
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

-- AUTOINCREMENT: a server that comes back after its rescue is a new one, and its old claims are not its own.
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

-- A job is in exactly one of these, and goes to another one when its state changes. There are few of them because every
-- write of a job asks each of them whether it is concerned.
CREATE INDEX millrace_ready ON millrace_jobs (queue, priority, run_at) WHERE state = 4;
CREATE INDEX millrace_due ON millrace_jobs (queue, state, run_at) WHERE state <= 3;
CREATE INDEX millrace_held ON millrace_jobs (server) WHERE state = 5;

-- Ended jobs by (time of the end), the line of keys by (priority, turn), those behind it by (key, priority).
CREATE INDEX millrace_other ON millrace_jobs (queue, state, major, minor) WHERE state >= 6;

-- When the time is over that a completed job was to be kept.
CREATE TABLE millrace_kept (
  at INTEGER NOT NULL,
  job INTEGER NOT NULL,
  PRIMARY KEY (at, job)
) STRICT, WITHOUT ROWID;

-- Keys that have jobs, or whose next job would be told by what they were given before.
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

-- Ids that callers gave.
CREATE TABLE millrace_ids (
  id TEXT PRIMARY KEY,
  job INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The jobs of each unique key; one may have gone while its period lasts.
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

-- Idempotency keys.
CREATE TABLE millrace_once (
  key TEXT PRIMARY KEY,
  fingerprint TEXT NOT NULL,
  first_job INTEGER NOT NULL,
  jobs INTEGER NOT NULL,
  ids TEXT,                     -- JSON, when they are not the numbers from first_job on
  until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX millrace_once_until ON millrace_once (until);

-- What running jobs are told.
CREATE TABLE millrace_orders (
  job INTEGER PRIMARY KEY,
  server INTEGER NOT NULL,
  reason TEXT NOT NULL
) STRICT;

CREATE INDEX millrace_orders_server ON millrace_orders (server);

-- What running jobs tell.
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
`;

/** What the first schema left, under the new names. Copies every job once: its columns change places. */
export const carry = `
INSERT INTO millrace_store (one, id, schema, next_job) SELECT 1, id, 2, next_job FROM store;

INSERT INTO millrace_queues
    (id, name, scheduled, retryable, available, running, discarded, cancelled, completed, settings)
  SELECT id, name, scheduled, retryable, available, running, discarded, cancelled, completed,
    iif(paused, '{"paused":true}', NULL) FROM queues;

INSERT INTO millrace_names (id, name) SELECT id, name FROM names;

INSERT INTO millrace_servers SELECT * FROM servers;
DELETE FROM sqlite_sequence WHERE name = 'millrace_servers';
INSERT INTO sqlite_sequence (name, seq) SELECT 'millrace_servers', seq FROM sqlite_sequence WHERE name = 'servers';

INSERT INTO millrace_jobs (number, state, server, claim, queue, name, priority, attempt, max_attempts, crashes, run_at,
    added_at, started_at, major, errors, payload)
  SELECT number, state, server, claim, queue, name, priority, attempt, max_attempts, crashes, run_at, added_at,
    iif(claim > 0, NULL, added_at), ended_at, errors, payload FROM jobs;

INSERT INTO millrace_once (key, fingerprint, first_job, jobs, until)
  SELECT key, fingerprint, first_job, jobs, until FROM once;

DROP TABLE jobs;
DROP TABLE once;
DROP TABLE servers;
DROP TABLE names;
DROP TABLE queues;
DROP TABLE store;
`;
