/**
 * What an operation costs while so many jobs wait: add, claim and settle in turn, a batch each, then cancel, so that the
 * line is as long at the end as it was at the beginning.
 *
 * Batches of 100, as a server with a hundred workers makes them; in a file each is a commit of its own. Everything that
 * comes back is counted: a figure of a backend that gives a job twice would be worth nothing.
 */
import { join } from 'node:path';
import type { Backend, NewJob, ServerInfo } from '../../src/backend/backend.ts';
import { openBackend } from '../../src/backend/open.ts';
import type { Figures } from '../figures.ts';
import type { Task } from './spec.ts';
import { QUEUE, type Variant, variants } from './variants.ts';

/** Jobs in a call that is timed. */
export const BATCH = 100;
/** Jobs in a call that fills the line. */
const FILL = 1_000;
/** Rounds before the clock runs. As many for a short line as for a long one, whose filling has made the code hot. */
const WARM_UP = 200;
/** Rounds of cancels, and those of them before the clock runs. */
const CANCELS = 20;
const WARM_CANCELS = 5;
/** Ids that are remembered for cancels, about. */
const KNOWN = 4_000;

const DAY = 86_400_000;

const server: ServerInfo = { id: 'bench', host: 'bench', pid: process.pid, queues: [QUEUE], concurrency: BATCH };

/** Microseconds per job. */
export async function cost(task: Task): Promise<Figures> {
  const backend = await openBackend(task.backend === 'memory' ? 'memory:' : `sqlite:${join(task.folder, 'jobs.db')}`);
  const figures = await costOf(backend, task);
  await backend.close();
  return figures;
}

/** On a backend that is open and empty. Throws when it loses a job, gives one twice, or leaves more or fewer than it should. */
export async function costOf(
  backend: Backend,
  { variant: name, waiting, rounds }: Omit<Task, 'folder'>,
): Promise<Figures> {
  const variant = variants[name];
  if (!variant) throw new Error(`no variant is called "${name}"`);
  await backend.beat(server);
  const line = new Line(backend, variant, waiting);
  await line.fill(waiting);

  for (let round = 0; round < WARM_UP; round++) await line.turn();
  const batch = Math.min(BATCH, Math.ceil(waiting / 2));
  for (let round = 0; round < WARM_CANCELS; round++) await line.cancel(batch);
  line.forgetTimes();
  for (let round = 0; round < rounds; round++) await line.turn();
  for (let round = 0; round < CANCELS; round++) await line.cancel(batch);
  const { add, claim, settle, cancel } = line.times;

  await line.verify();
  const perJob = (ms: number, jobs: number) => (ms * 1000) / jobs;
  const jobs = rounds * BATCH;
  return {
    waiting,
    add: perJob(add, jobs),
    claim: perJob(claim, jobs),
    settle: perJob(settle, jobs),
    cancel: perJob(cancel, CANCELS * batch),
    rss: process.resourceUsage().maxRSS / 1024,
  };
}

/** The jobs that wait, and a clock for each operation. */
class Line {
  times = { add: 0, claim: 0, settle: 0, cancel: 0 };
  readonly #backend: Backend;
  readonly #variant: Variant;
  readonly #length: number;
  /** Ids of some that wait, from the whole length of the line: the ones to cancel. */
  readonly #known = new Set<string>();
  readonly #everyNth: number;
  readonly #claimed = new Set<string>();
  #added = 0;
  #cancelled = 0;
  #claims = 0;

  constructor(backend: Backend, variant: Variant, length: number) {
    this.#backend = backend;
    this.#variant = variant;
    this.#length = length;
    this.#everyNth = Math.max(1, Math.floor(length / KNOWN));
  }

  async fill(count: number): Promise<void> {
    for (let left = count; left > 0; left -= FILL) {
      const jobs = this.#make(Math.min(FILL, left));
      await this.#add(jobs);
      if (!this.#variant.scheduled) continue;
      const runAt = Date.now() + DAY;
      await this.#backend.add([{ jobs: jobs.map((job) => ({ ...job, runAt })) }]);
    }
  }

  /** A batch comes, a batch is claimed, a batch ends. */
  async turn(): Promise<void> {
    const coming = this.#make(BATCH);
    await this.#timed('add', () => this.#add(coming));

    const { jobs } = await this.#timed('claim', () =>
      this.#backend.claim({ server: server.id, queues: [QUEUE], limit: BATCH }),
    );
    if (jobs.length !== BATCH) throw new Error(`${jobs.length} jobs claimed where ${BATCH} were asked for`);
    this.#claims += jobs.length;
    for (const { id } of jobs) {
      this.#claimed.add(id);
      this.#known.delete(id);
    }

    const outcomes = jobs.map(({ id, claim }) => ({ id, claim, ending: { kind: 'completed' } as const }));
    const taken = await this.#timed('settle', () => this.#backend.settle(server.id, outcomes));
    if (taken.some((each) => each !== 'taken')) throw new Error('an outcome was not taken');
  }

  /** `count` jobs from all over the line, which then gets as many new ones. */
  async cancel(count: number): Promise<void> {
    const ids = this.#pick(count);
    const { count: done } = await this.#timed('cancel', () =>
      this.#backend.act({ kind: 'cancel', reason: 'to see what it costs' }, { ids }),
    );
    if (done !== ids.length) throw new Error(`${done} jobs cancelled where ${ids.length} should have been`);
    this.#cancelled += done;
    await this.#add(this.#make(done));
  }

  forgetTimes(): void {
    this.times = { add: 0, claim: 0, settle: 0, cancel: 0 };
  }

  async verify(): Promise<void> {
    if (this.#claimed.size !== this.#claims) {
      throw new Error(`${this.#claims - this.#claimed.size} jobs were claimed more than once`);
    }
    const [counts] = await this.#backend.counts();
    const expected = {
      available: this.#length,
      scheduled: this.#variant.scheduled ? this.#length : 0,
      running: 0,
      completed: this.#claims,
      cancelled: this.#cancelled,
    };
    for (const [state, count] of Object.entries(expected)) {
      const found = counts?.[state as keyof typeof expected];
      if (found !== count) throw new Error(`${found} jobs are ${state} where ${count} should be`);
    }
  }

  #make(count: number): NewJob[] {
    return Array.from({ length: count }, (_, i) => this.#variant.job(this.#added + i));
  }

  async #add(jobs: readonly NewJob[]): Promise<void> {
    const [result] = await this.#backend.add([{ jobs }]);
    if (result?.status !== 'stored' || result.ids.length !== jobs.length) throw new Error('jobs were not stored');
    for (const id of result.ids) if (this.#added++ % this.#everyNth === 0) this.#known.add(id);
  }

  /** Far apart, and not in their order. */
  #pick(count: number): string[] {
    const known = [...this.#known];
    const step = Math.max(1, Math.floor(known.length / count));
    const ids = Array.from({ length: Math.min(count, known.length) }, (_, i) => known[i * step] as string);
    for (const id of ids) this.#known.delete(id);
    return ids.toSorted((a, b) => order(a) - order(b));
  }

  async #timed<T>(operation: keyof Line['times'], work: () => Promise<T>): Promise<T> {
    const began = performance.now();
    const result = await work();
    this.times[operation] += performance.now() - began;
    return result;
  }
}

/** A number that is the same in every run and has nothing to do with the order of ids (FNV-1a). */
function order(id: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
