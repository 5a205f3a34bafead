/**
 * Claims jobs, as many as there is room for and never more.
 *
 *            ┌──────────────────── room again ◀─────────────────────────┐
 *            ▼                                                           │
 *   room? ──yes──▶ claim ──full hand──▶ room for more? ──yes──▶ claim, deliver
 *     │no            │fewer than asked: deliver, then wait for
 *     └─ wait        └─ a wake-up · the next job's time · the poll interval
 *
 * While the jobs of one claim run, the next one is on its way: it leaves before they are delivered.
 *
 * The backend's wake-up is what makes it fast; the poll is only the safety net for one that got lost. An idle fetcher
 * costs one claim per poll interval.
 */
import type { Backend, ClaimedJob } from '../backend/backend.ts';
import type { Clock, Timer } from '../clock.ts';
import { toError } from '../errors.ts';
import { exponential } from '../job/backoff.ts';
import type { Observer } from './events.ts';

export interface FetcherOptions {
  readonly backend: Backend;
  readonly server: string;
  readonly queues: readonly string[];
  /** The order of the queues for the next claim. */
  readonly order: () => readonly string[];
  /** How many jobs can be taken now. */
  readonly room: () => number;
  /** A claim for fewer than this waits until there is more room: many small claims cost more than a few. Minimum 1. */
  readonly lowWater: () => number;
  /** ms between claims when nothing wakes the fetcher. */
  readonly pollInterval: number;
  /** `isFull`: as many as there was room for. */
  readonly deliver: (jobs: readonly ClaimedJob[], isFull: boolean) => void;
  readonly clock: Clock;
  readonly random: () => number;
  readonly observe: Observer | undefined;
}

const retryAfter = exponential({ base: 100, max: 5_000 });

export class Fetcher {
  readonly #options: FetcherOptions;
  #stopped = false;
  /** Something may be available that the claim under way did not see. */
  #woken = false;
  #waitsFor: 'room' | 'work' | undefined;
  /** Claimed and not yet delivered. */
  #inHand = 0;
  #delivered: Promise<void> = Promise.resolve();
  #resume: () => void = () => undefined;
  #stopListening: () => void = () => undefined;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: FetcherOptions) {
    this.#options = options;
  }

  start(): void {
    const { backend, queues } = this.#options;
    this.#stopListening = backend.listen({ queues }, () => this.wake());
    this.#loop = this.#run();
  }

  /** Resolves when no claim is under way and none will follow. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopListening();
    this.#resume();
    await this.#loop;
    await this.#delivered;
  }

  /** Something may be available. */
  wake(): void {
    this.#woken = true;
    if (this.#waitsFor === 'work') this.#resume();
  }

  /** There may be room again. */
  roomFreed(): void {
    if (this.#waitsFor === 'room' && this.#room >= this.#options.lowWater()) this.#resume();
  }

  get #room(): number {
    return this.#options.room() - this.#inHand;
  }

  async #run(): Promise<void> {
    const { backend, server, order, lowWater, pollInterval, clock, random, observe } = this.#options;
    let failures = 0;
    let overdue = 0;
    while (!this.#stopped) {
      const limit = this.#room;
      if (limit < lowWater()) {
        await this.#wait('room');
        continue;
      }
      this.#woken = false;
      try {
        const { jobs, nextAt } = await backend.claim({ server, queues: order(), limit });
        failures = 0;
        const isFull = jobs.length === limit;
        this.#take(jobs, isFull);
        if (isFull) continue;
        await this.#delivered;
        if (this.#woken) continue;
        // Where clocks differ, a moment that has come here may not have come there: asking at once would be a busy loop.
        overdue = jobs.length === 0 && nextAt !== undefined && nextAt <= clock.now() ? overdue + 1 : 0;
        const soonest = overdue === 0 ? 0 : 2 ** Math.min(overdue, 10);
        const untilNext = nextAt === undefined ? pollInterval : Math.max(soonest, nextAt - clock.now());
        await this.#wait('work', Math.min(pollInterval, untilNext));
      } catch (error) {
        const retryIn = retryAfter(++failures, random, toError(error));
        observe?.({ type: 'backend-error', error: toError(error), doing: 'claim', retryIn });
        await this.#wait('work', retryIn);
      }
    }
  }

  /** Delivers them: a single one at once, several when `othersFirst` says so. */
  #take(jobs: readonly ClaimedJob[], isFull: boolean): void {
    const { deliver, observe } = this.#options;
    this.#inHand += jobs.length;
    const give = () => {
      this.#inHand -= jobs.length;
      observe?.({ type: 'claimed', count: jobs.length });
      if (jobs.length > 0) deliver(jobs, isFull);
      // A gatherer may have taken them, and its jobs take no worker yet.
      this.roomFreed();
    };
    if (jobs.length > 1) this.#delivered = othersFirst().then(give);
    else give();
  }

  #wait(what: 'room' | 'work', ms?: number): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      let timer: Timer | undefined;
      this.#waitsFor = what;
      this.#resume = () => {
        timer?.cancel();
        this.#waitsFor = undefined;
        this.#resume = () => undefined;
        resolve();
      };
      if (ms !== undefined) timer = this.#options.clock.timer(ms, this.#resume);
    });
  }
}

/**
 * One answer often comes with others, and who waited for those sends something in turn, as the next claim does. That is to be on
 * its way while these jobs run: enqueueing and working in one process, half again as many jobs a second on Redis. The second
 * turn, because what is sent leaves at the end of the first.
 */
function othersFirst(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}
