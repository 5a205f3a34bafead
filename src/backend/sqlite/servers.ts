/**
 * Who holds jobs, and who is still alive.
 *
 * A server on this machine whose process is gone is known to be dead at once; every other one when its beats stop. A pid
 * says something only within its pid namespace and boot, and only together with the moment its process began: both are
 * stored with it, so neither a container beside this one nor a reused pid is mistaken for it. Where /proc does not tell
 * (not Linux), only the lease decides.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { type ErrorCode, type ErrorFields, MillraceError } from '../../errors.ts';
import type { AttemptError, ServerInfo } from '../backend.ts';
import type { ServerRecord } from '../records.ts';
import { probation } from '../settings.ts';
import { has, type JobRow, type Jobs, jobColumns, refOf, withError } from './jobs.ts';
import type { Notes } from './notes.ts';
import { stateNumbers as S, special, type WireOrder } from './wire.ts';

interface Row {
  readonly id: number;
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  readonly pid_space: string;
  readonly pid_started: string;
  readonly queues: string;
  readonly concurrency: number;
  readonly beat_at: number;
}

export class Servers {
  readonly #jobs: Jobs;
  readonly #notes: Notes;
  readonly #space = pidSpace();
  readonly #find: StatementSync;
  readonly #beat: StatementSync;
  readonly #all: StatementSync;
  readonly #remove: StatementSync;
  readonly #held: StatementSync;
  readonly #holds: StatementSync;
  readonly #orders: StatementSync;
  readonly #name: StatementSync;

  constructor(db: DatabaseSync, jobs: Jobs, notes: Notes) {
    this.#jobs = jobs;
    this.#notes = notes;
    this.#find = db.prepare('SELECT id FROM millrace_servers WHERE name = ?');
    this.#name = db.prepare('SELECT name FROM millrace_servers WHERE id = ?');
    this.#beat = db.prepare(
      `INSERT INTO millrace_servers (name, host, pid, pid_space, pid_started, queues, concurrency, beat_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET queues = excluded.queues, concurrency = excluded.concurrency,
           beat_at = excluded.beat_at`,
    );
    this.#all = db.prepare('SELECT * FROM millrace_servers ORDER BY id');
    this.#remove = db.prepare('DELETE FROM millrace_servers WHERE id = ?');
    const held = `FROM millrace_jobs WHERE state = ${S.running} AND server = ?`;
    this.#held = db.prepare(`SELECT ${jobColumns} ${held} ORDER BY number`);
    this.#holds = db.prepare(`SELECT count(*) AS jobs ${held}`);
    this.#orders = db.prepare(
      `SELECT number, claim, extras, reason FROM millrace_orders JOIN millrace_jobs ON number = job
         WHERE millrace_orders.server = ? ORDER BY number`,
    );
  }

  /** The number of a registered server. */
  find(name: string): number | undefined {
    return (this.#find.get(name) as { id: number } | undefined)?.id;
  }

  name(id: number): string | undefined {
    return (this.#name.get(id) as { name: string } | undefined)?.name;
  }

  beat({ id, host, pid, queues, concurrency }: ServerInfo, now: number): void {
    // A pid of another machine means nothing here.
    const started = host === hostname() ? processStart(pid) : undefined;
    const space = started === undefined ? '' : this.#space;
    this.#beat.run(id, host, pid, space, started ?? '', JSON.stringify(queues), concurrency, now);
  }

  leave(name: string, now: number): void {
    const id = this.find(name);
    if (id === undefined) return;
    for (const job of this.#heldBy(id)) {
      if (this.#obey(job, now)) continue;
      this.#jobs.record(job, 'returned', now);
      this.#jobs.move(job, 'available', now);
    }
    this.#remove.run(id);
  }

  rescue(lease: number, now: number): number {
    let rescued = 0;
    for (const row of this.#rows()) {
      if (now - row.beat_at < lease && !this.#isDead(row)) continue;
      for (const job of this.#heldBy(row.id)) {
        this.#rescue(job, row.name, now);
        rescued++;
      }
      this.#remove.run(row.id);
    }
    return rescued;
  }

  list(): ServerRecord[] {
    return this.#rows().map(({ id, name, host, pid, queues, concurrency, beat_at: beatAt }) => {
      const { jobs: running } = this.#holds.get(id) as { jobs: number };
      return { id: name, host, pid, queues: JSON.parse(queues), concurrency, beatAt, running };
    });
  }

  /** What others want of the jobs that the server runs. */
  orders(name: string): WireOrder[] {
    type Row = { number: number; claim: number; extras: string | null; reason: string };
    const rows = this.#orders.all(this.find(name) ?? -1) as Row[];
    return rows.map(({ number, claim, extras, reason }) => ({
      kind: 'cancel',
      ref: refOf(number, extras),
      claim,
      reason,
    }));
  }

  #rows(): Row[] {
    return this.#all.all() as unknown as Row[];
  }

  #heldBy(id: number): JobRow[] {
    return this.#held.all(id) as unknown as JobRow[];
  }

  /** A crash costs no attempt, but too many of them are the job's own; before the last chance time passes. */
  #rescue(job: JobRow, server: string, now: number): void {
    const crashes = job.crashes + 1;
    const died = errorOf(job, now, 'SERVER_DIED', { server });
    if (this.#obey(job, now, crashes, [died])) return;
    const { maxCrashes } = this.#jobs.queueOf(job).settings;
    if (crashes < maxCrashes) {
      const change = { crashes, errors: withError(job, died) };
      this.#jobs.record(job, 'rescued', now);
      if (crashes < maxCrashes - 1) this.#jobs.move(job, 'available', now, change);
      else this.#jobs.move(job, 'retryable', now, { ...change, runAt: now + probation, stopped: true });
      return;
    }
    const quarantined = errorOf(job, now, 'JOB_QUARANTINED', { crashes });
    this.#jobs.record(job, 'quarantined', now, quarantined.message);
    this.#jobs.move(job, 'quarantined', now, {
      crashes,
      errors: withError(job, died, quarantined),
      stopped: true,
    });
  }

  /** Cancels a job that was to be cancelled and has nobody left to do it. */
  #obey(job: JobRow, now: number, crashes = job.crashes, errors: AttemptError[] = []): boolean {
    const reason = has(job, special.ordered) ? this.#notes.reason(job.number) : undefined;
    if (reason !== undefined) this.#jobs.stop(job, 'cancelled', reason, now, { crashes, errors });
    return reason !== undefined;
  }

  #isDead({ pid, pid_space: space, pid_started: started }: Row): boolean {
    return space !== '' && space === this.#space && !isRunning(pid, started);
  }
}

function errorOf<C extends ErrorCode>(job: JobRow, at: number, code: C, fields: ErrorFields<C>): AttemptError {
  const error = new MillraceError(code, fields);
  return { attempt: job.attempt, at, message: error.message, code: error.code };
}

/** Where pids of this process mean something: the boot and the pid namespace. '' where that cannot be known. */
function pidSpace(): string {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return '';
  }
}

/**
 * When process `pid` began, in clock ticks since boot; '' when it has ended and only its parent has not noticed;
 * undefined when /proc does not show it. Fields 3 and 22 of proc_pid_stat(5), counted after the name in parentheses,
 * which may hold anything.
 */
function processStart(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? '' : fields[22 - 3];
  } catch {
    return undefined;
  }
}

/** Whether the process that began at `started` still runs. In doubt yes: /proc may hide the processes of other users. */
function isRunning(pid: number, started: string): boolean {
  const found = processStart(pid);
  if (found !== undefined) return found === started;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
