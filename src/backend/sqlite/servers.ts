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
import type { ServerInfo, ServerRecord } from '../backend.ts';
import type { Registry } from './registry.ts';
import { stateNumbers as S } from './wire.ts';

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
  readonly #registry: Registry;
  readonly #space = pidSpace();
  readonly #find: StatementSync;
  readonly #beat: StatementSync;
  readonly #all: StatementSync;
  readonly #remove: StatementSync;
  readonly #held: StatementSync;
  readonly #release: StatementSync;

  constructor(db: DatabaseSync, registry: Registry) {
    this.#registry = registry;
    this.#find = db.prepare('SELECT id FROM servers WHERE name = ?');
    this.#beat = db.prepare(
      `INSERT INTO servers (name, host, pid, pid_space, pid_started, queues, concurrency, beat_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET queues = excluded.queues, concurrency = excluded.concurrency,
           beat_at = excluded.beat_at`,
    );
    this.#all = db.prepare('SELECT * FROM servers ORDER BY id');
    this.#remove = db.prepare('DELETE FROM servers WHERE id = ?');
    this.#held = db.prepare(
      `SELECT queue, count(*) AS jobs FROM jobs WHERE state = ${S.running} AND server = ? GROUP BY queue`,
    );
    this.#release = db.prepare(
      `UPDATE jobs SET state = ${S.available}, server = NULL, crashes = crashes + ?
         WHERE state = ${S.running} AND server = ?`,
    );
  }

  /** The number of a registered server. */
  find(name: string): number | undefined {
    return (this.#find.get(name) as { id: number } | undefined)?.id;
  }

  beat({ id, host, pid, queues, concurrency }: ServerInfo, now: number): void {
    // A pid of another machine means nothing here.
    const started = host === hostname() ? processStart(pid) : undefined;
    const space = started === undefined ? '' : this.#space;
    this.#beat.run(id, host, pid, space, started ?? '', JSON.stringify(queues), concurrency, now);
  }

  leave(name: string): void {
    const id = this.find(name);
    if (id !== undefined) this.#dismiss(id, 0);
  }

  rescue(lease: number, now: number): number {
    let rescued = 0;
    for (const row of this.#rows()) {
      if (now - row.beat_at >= lease || this.#isDead(row)) rescued += this.#dismiss(row.id, 1);
    }
    return rescued;
  }

  list(): ServerRecord[] {
    return this.#rows().map(({ id, name, host, pid, queues, concurrency, beat_at: beatAt }) => {
      const running = this.#heldBy(id).reduce((sum, { jobs }) => sum + jobs, 0);
      return { id: name, host, pid, queues: JSON.parse(queues), concurrency, beatAt, running };
    });
  }

  #rows(): Row[] {
    return this.#all.all() as unknown as Row[];
  }

  #heldBy(id: number): { queue: number; jobs: number }[] {
    return this.#held.all(id) as { queue: number; jobs: number }[];
  }

  #dismiss(id: number, crashes: 0 | 1): number {
    let released = 0;
    for (const { queue, jobs } of this.#heldBy(id)) {
      this.#registry.queueById(queue).change('running', -jobs);
      this.#registry.queueById(queue).change('available', jobs);
      released += jobs;
    }
    this.#release.run(crashes, id);
    this.#remove.run(id);
    return released;
  }

  #isDead({ pid, pid_space: space, pid_started: started }: Row): boolean {
    return space !== '' && space === this.#space && !isRunning(pid, started);
  }
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
