/**
 * Runs jobs until nothing is left to run, in virtual time.
 *
 *   rounds ──▶ nothing can run now ──▶ the next moment at which something can ──▶ clock there ──▶ rounds
 *                                       │ none, or later than was asked for
 *                                       └──▶ done
 *
 * A round is a JobServer's whole life: it starts, runs what it claims, and stops as soon as nothing runs. So between two
 * rounds no timer is left, and the clock can be moved without a server that looks on.
 */
import assert from 'node:assert/strict';
import type { Backend, ClaimedJob } from '../backend/backend.ts';
import type { VirtualClock } from '../clock.ts';
import { assertKnown, assertOption } from '../errors.ts';
import { decodePayload, json } from '../job/codec.ts';
import type { JobDefinition, PayloadOf, ResultOf } from '../job/job.ts';
import type { ServerEvent } from '../server/events.ts';
import type { PerformMiddleware } from '../server/middleware.ts';
import { JobServer } from '../server/server.ts';
import { type Outcome, outcomeOf } from './perform.ts';

export interface DrainOptions {
  /** Only jobs of this queue. Default: all queues. */
  readonly queue?: string;
  /** Also jobs whose time has not come: the clock is moved to each, as far as it takes. Default false. */
  readonly scheduled?: boolean;
  /**
   * Lets this many ms pass, for bodies that wait for the clock too, runs what becomes due on the way, and makes the ticks of
   * schedules. Excludes `scheduled`.
   */
  readonly advance?: number;
  /** Runs after which it gives up. Integer from 1. Default 10,000. */
  readonly limit?: number;
}

/** Runs by how they ended. */
export type Drained = Readonly<Record<Outcome['outcome'], number>>;

/** One run of a job. */
export type Performed<Job = JobDefinition> = Outcome<ResultOf<Job>> & {
  readonly job: ClaimedJob;
  readonly attempt: number;
  /** Decoded when it is read. */
  readonly payload: PayloadOf<Job>;
};

export interface DrainSetup {
  readonly backend: Backend;
  readonly clock: VirtualClock;
  readonly jobs: readonly JobDefinition[];
  readonly middleware: readonly PerformMiddleware[];
}

/** Jobs claimed ahead, so that batches fill. */
const AHEAD = 99;
/** Turns of the event loop without an event after which a server has nothing to do. */
const QUIET = 5;

export class Drain {
  readonly #setup: DrainSetup;
  readonly #performed: Performed[] = [];

  constructor(setup: DrainSetup) {
    this.#setup = setup;
  }

  get performed(): readonly Performed[] {
    return this.#performed;
  }

  async run(options: DrainOptions): Promise<Drained> {
    assertKnown(options, { queue: true, scheduled: true, advance: true, limit: true });
    const { queue, scheduled = false, advance, limit = 10_000 } = options;
    assertOption('advance', advance, advance === undefined || advance >= 0, 'a number of milliseconds from 0');
    assertOption('advance', advance, advance === undefined || !scheduled, 'absent with `scheduled`');
    assertOption('limit', limit, Number.isInteger(limit) && limit >= 1, 'an integer from 1');
    const { clock } = this.#setup;
    const first = this.#performed.length;
    const end = advance === undefined ? (scheduled ? Number.POSITIVE_INFINITY : clock.now()) : clock.now() + advance;
    const until = advance === undefined ? clock.now() : end;
    do await this.#rounds(queue, first + limit, until);
    while (await this.#moveOn(queue, end, advance !== undefined));
    if (advance !== undefined) await clock.advance(end - clock.now());
    const drained = { completed: 0, failed: 0, discarded: 0, cancelled: 0, snoozed: 0, returned: 0 };
    for (const { outcome } of this.#performed.slice(first)) drained[outcome]++;
    return drained;
  }

  /** Until one finds nothing to do. */
  async #rounds(queue: string | undefined, most: number, until: number): Promise<void> {
    while (await this.#round(await this.#queues(queue), most, until)) {
      // another one
    }
  }

  async #queues(queue: string | undefined): Promise<readonly string[]> {
    if (queue !== undefined) return [queue];
    const { backend, jobs } = this.#setup;
    const known = (await backend.counts()).map((counts) => counts.queue);
    return [...new Set([...known, ...jobs.map((job) => job.queue)])];
  }

  /** False when there was nothing to do. Bodies that wait for the clock see it go on, up to `until`. */
  async #round(queues: readonly string[], most: number, until: number): Promise<boolean> {
    const { backend, clock, jobs, middleware } = this.#setup;
    if (queues.length === 0) return false;
    const watch = new Watch((await backend.dueSchedules(1)).due.length > 0);
    const server = new JobServer({
      backend,
      jobs,
      queues,
      workers: 1,
      prefetch: AHEAD,
      stopDeadline: Number.MAX_SAFE_INTEGER,
      middleware,
      clock,
      random: () => 0.5,
      observe: (event) => {
        watch.see(event);
        this.#remember(event);
      },
    });
    await server.start();
    try {
      while (!(await watch.isQuiet())) {
        if (this.#performed.length >= most) break;
        const next = clock.nextAt;
        if (watch.isWaiting && next !== undefined && next <= until) await clock.advance(next - clock.now());
      }
    } finally {
      await server.stop();
    }
    if (watch.error) throw watch.error;
    if (this.#performed.length >= most && watch.didSomething) {
      assert.fail(`drain gives up after its limit of jobs; the last one was "${this.#performed.at(-1)?.job.name}"`);
    }
    return watch.didSomething;
  }

  #remember(event: ServerEvent): void {
    const outcome = outcomeOf(event, this.#setup.clock);
    if (!outcome || !('job' in event)) return;
    const { job } = event;
    const codec = this.#setup.jobs.find(({ name }) => name === job.name)?.codec ?? json;
    this.#performed.push({
      ...outcome,
      job,
      attempt: job.attempt,
      get payload() {
        return decodePayload(job, codec);
      },
    });
  }

  /** Moves the clock to where something can run, up to `end`. False when there is no such moment. */
  async #moveOn(queue: string | undefined, end: number, ticks: boolean): Promise<boolean> {
    const { backend, clock } = this.#setup;
    const server = { id: 'drain', host: 'test', pid: process.pid, queues: [], concurrency: 1 };
    await backend.beat(server);
    const { nextAt } = await backend.claim({ server: server.id, queues: await this.#queues(queue), limit: 1 });
    await backend.leave(server.id);
    const nextTick = ticks ? (await backend.dueSchedules(1)).nextAt : undefined;
    const next = Math.min(nextAt ?? Number.POSITIVE_INFINITY, nextTick ?? Number.POSITIVE_INFINITY);
    if (next <= clock.now() || next > end || next === Number.POSITIVE_INFINITY) return false;
    await clock.advance(next - clock.now());
    return true;
  }
}

/** Sees from a server's events whether it has anything left to do. */
class Watch {
  error: Error | undefined;
  didSomething = false;
  /** Bodies run, and nothing has happened lately. */
  isWaiting = false;
  #claimed = false;
  #ticksDue: boolean;
  #running = 0;
  #events = 0;

  constructor(ticksDue: boolean) {
    this.#ticksDue = ticksDue;
  }

  see(event: ServerEvent): void {
    this.#events++;
    if (event.type === 'claimed') {
      this.#claimed = true;
      if (event.count > 0) this.didSomething = true;
    } else if (event.type === 'started') {
      this.#running++;
    } else if (event.type === 'fired' || event.type === 'skipped' || event.type === 'schedule-error') {
      this.#ticksDue = false;
      if (event.type !== 'schedule-error') this.didSomething = true;
      else this.error ??= event.error;
    } else if (event.type === 'backend-error') {
      this.error ??= event.error;
    } else if (event.type !== 'abandoned' && event.type !== 'result-lost' && 'job' in event) {
      this.#running--;
    }
  }

  /** Resolves after some turns of the event loop: true when nothing runs and nothing has happened in them. */
  async isQuiet(): Promise<boolean> {
    if (this.error) return true;
    const before = this.#events;
    for (let i = 0; i < QUIET; i++) await new Promise((resolve) => setImmediate(resolve));
    const isStill = this.#claimed && !this.#ticksDue && this.#events === before;
    this.isWaiting = isStill && this.#running > 0;
    return isStill && this.#running <= 0;
  }
}
