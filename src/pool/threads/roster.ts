/**
 * Which threads there are: starts them when they are needed, replaces those that die, ends those that are not needed.
 *
 *   starting ──ready──▶ bench ──place free──▶ active ──leave, kill, death──▶ out ──gone──▶ (none)
 *
 *   active + out ≤ threads     a thread that is on its way out may still run a body, so its place is not free yet
 *   bench                      threads ready to take the place of one that is out
 *
 * A replacement starts together with the leaving of the one it replaces, so for that time there are more threads than
 * `threads`, never more that run bodies. From the first abort of a running body on, one more is kept on the bench: a thread
 * takes longer to start than an abort may take.
 *
 * Crash loops: after a failed start, or the death of a thread that had nothing to do, one thread is tried at a time, after
 * 100 ms, 200 ms, … 10 s. Three failed starts in a row with no thread left end the crew.
 */
import type { Clock } from '../../clock.ts';
import { assertOption, MillraceError, toError } from '../../errors.ts';
import { Alarm } from './alarm.ts';
import { assertThreads, type Settings } from './options.ts';
import type { Placed } from './places.ts';
import { type Remains, Thread, type ThreadHost } from './thread.ts';

/** Failed starts in a row that end the crew. */
const ATTEMPTS = 3;
/** ms before the first new try, doubled for each further one. */
const BACKOFF = 100;
const LONGEST_BACKOFF = 10_000;

export interface RosterHost extends Pick<ThreadHost, 'burstBegins' | 'burstEnds' | 'gone'> {
  /** Threads that the jobs at hand could use. */
  needed(): number;
  /** May take jobs from now on. */
  activated(thread: Thread): void;
  /** Jobs of a thread that will not start them. */
  returned(placed: readonly Placed[]): void;
  /** No thread will ever start. */
  broken(error: MillraceError<'THREAD_START_FAILED'>): void;
}

export interface RosterOptions {
  readonly module: URL;
  readonly threads: number;
  readonly settings: Settings;
  readonly clock: Clock;
  /** Slots of a thread. */
  readonly size: number;
}

interface Warming {
  readonly threads: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class Roster implements ThreadHost {
  /** Those that take jobs, hottest first. */
  readonly active: Thread[] = [];
  readonly counts = { spawned: 0, failed: 0, died: 0, purged: 0, stuck: 0 };
  readonly #host: RosterHost;
  readonly #options: RosterOptions;
  readonly #clock: Clock;
  readonly #table: (Thread | undefined)[] = [];
  /** Starting → the number of failures when it was started: threads of one wave fail together and count once. */
  readonly #starting = new Map<Thread, number>();
  readonly #bench: Thread[] = [];
  readonly #out = new Set<Thread>();
  #max: number;
  #spare = 0;
  #failures = 0;
  #idleDeaths = 0;
  #retryAt = 0;
  #closed = false;
  #warming: Warming[] = [];
  readonly #retry: Alarm;
  readonly #purge: Alarm;

  constructor(host: RosterHost, options: RosterOptions) {
    this.#host = host;
    this.#options = options;
    this.#clock = options.clock;
    this.#max = options.threads;
    this.#retry = new Alarm(options.clock, () => this.grow());
    this.#purge = new Alarm(options.clock, () => this.#purgeIdle());
  }

  get max(): number {
    return this.#max;
  }

  get starting(): number {
    return this.#starting.size;
  }

  get benched(): number {
    return this.#bench.length;
  }

  /** Threads on their way out that are not gone yet. */
  get out(): ReadonlySet<Thread> {
    return this.#out;
  }

  /** Starts what is missing, all at once. */
  grow(): void {
    const wanted = Math.max(this.#host.needed(), this.#options.settings.min, ...this.#warming.map((w) => w.threads));
    const target = Math.min(this.#max, wanted) + this.#spare;
    while (!this.#closed && this.#usable < target) {
      if (this.#failures + this.#idleDeaths > 0) {
        if (this.#starting.size > 0) return;
        if (this.#clock.monotonic() < this.#retryAt) {
          this.#retryLater();
          return;
        }
        this.#retryAt = Number.NEGATIVE_INFINITY;
      }
      if (!this.#spawn()) return;
    }
  }

  /** True when there are as many threads as there may be: nothing to grow. */
  get isComplete(): boolean {
    return this.#usable >= this.#max + this.#spare;
  }

  /** The thread of a seat. */
  at(index: number): Thread | undefined {
    return this.#table[index];
  }

  all(): Thread[] {
    return this.#table.filter((thread) => thread !== undefined);
  }

  /** It takes no more jobs, finishes those it has started (and, with `keep`, those it was given), and is replaced. */
  leave(thread: Thread, keep = false): void {
    if (thread.state !== 'ready') return;
    thread.state = 'leaving';
    this.#drop(thread);
    this.#out.add(thread);
    if (!keep) this.#host.returned(thread.takeBack());
    this.endIfDone(thread);
    this.grow();
  }

  endIfDone(thread: Thread): void {
    if (thread.state === 'leaving' && thread.held === 0) this.kill(thread);
  }

  /** Terminates it. Its started jobs fail when it is gone, the others are given back at once. */
  kill(thread: Thread): void {
    if (thread.state === 'ending' || thread.state === 'gone') return;
    const { terminateTimeout } = this.#options.settings;
    this.#drop(thread);
    this.#out.add(thread);
    const timer = this.#clock.timer(terminateTimeout, () => {
      this.counts.stuck++;
      process.emitWarning(`a thread of ${this.#options.module.href} did not end within ${terminateTimeout} ms`);
      thread.giveUp();
    });
    void thread.end().then(() => timer.cancel());
    this.#host.returned(thread.takeBack());
  }

  /** From now on one thread more than are at work is kept ready. */
  keepSpare(): void {
    this.#spare = 1;
    this.grow();
  }

  resize(threads: number): void {
    assertThreads(threads);
    this.#max = threads;
    for (let surplus = this.active.length - threads; surplus > 0; surplus--) {
      this.leave(this.active.reduce((least, thread) => (thread.held < least.held ? thread : least)));
    }
    this.#trim();
    this.#promote();
    this.grow();
  }

  /** Resolves when so many threads are ready. */
  warm(threads = this.#max): Promise<void> {
    assertOption(
      'threads',
      threads,
      Number.isInteger(threads) && threads >= 0 && threads <= this.#max,
      'an integer from 0 to the number of threads',
    );
    return new Promise((resolve, reject) => {
      this.#warming.push({ threads, resolve, reject });
      this.#warmed();
      this.grow();
    });
  }

  /** Thread has nothing to do since now. */
  idle(thread: Thread): void {
    const { idleTimeout } = this.#options.settings;
    if (idleTimeout !== Number.POSITIVE_INFINITY) this.#purge.at(thread.seenAt + idleTimeout);
  }

  /** A job has ended: whatever the trouble was, it is over. */
  succeeded(): void {
    if (this.#idleDeaths === 0) return;
    this.#idleDeaths = 0;
    this.grow();
  }

  /** Terminates all, and starts none. */
  async close(reason: Error): Promise<void> {
    this.#closed = true;
    this.#retry.cancel();
    this.#purge.cancel();
    for (const { reject } of this.#warming.splice(0)) reject(reason);
    const threads = this.all();
    for (const thread of threads) this.kill(thread);
    await Promise.all(threads.map((thread) => thread.end()));
  }

  // What a thread tells.

  ready(thread: Thread): void {
    this.#failures = 0;
    this.#starting.delete(thread);
    this.#bench.push(thread);
    this.#trim();
    this.#promote();
    this.#warmed();
    this.grow();
  }

  startFailed(thread: Thread | undefined, error: Error, wave = thread && this.#starting.get(thread)): void {
    if (wave === undefined) return; // it was being ended anyway
    if (thread) this.kill(thread);
    this.counts.failed++;
    if (wave === this.#failures) this.#failures++;
    this.#backOff();
    if (this.#closed || this.#failures < ATTEMPTS || this.active.length + this.#bench.length > 0) return;
    const { href } = this.#options.module;
    const fields = { module: href, attempts: this.#failures, reason: error.message };
    const broken = new MillraceError('THREAD_START_FAILED', fields, { cause: error });
    this.#host.broken(broken);
    void this.close(broken);
  }

  burstBegins(): void {
    this.#host.burstBegins();
  }

  burstEnds(thread: Thread): void {
    this.#host.burstEnds(thread);
  }

  gone(thread: Thread, remains: Remains): void {
    const worked = this.active.includes(thread) || this.#bench.includes(thread);
    this.#drop(thread);
    this.#out.delete(thread);
    this.#table[this.#table.indexOf(thread)] = undefined;
    if (!remains.wanted && worked) {
      this.counts.died++;
      if (remains.started.length === 0) {
        this.#idleDeaths++;
        this.#backOff();
      }
    }
    this.#promote();
    this.#host.gone(thread, remains);
    this.grow();
  }

  get #usable(): number {
    return this.active.length + this.#bench.length + this.#starting.size;
  }

  /** False when it could not even be made. */
  #spawn(): boolean {
    const { module, settings, size } = this.#options;
    const free = this.#table.indexOf(undefined);
    const index = free < 0 ? this.#table.length : free;
    const wave = this.#failures;
    try {
      const thread = new Thread(this, { module, settings, size, base: index * size });
      this.#table[index] = thread;
      this.#starting.set(thread, wave);
      this.counts.spawned++;
      return true;
    } catch (error) {
      // No memory, or a wrong `execArgv`; told like any other failed start, but not inside the call that wanted it.
      queueMicrotask(() => {
        this.startFailed(undefined, toError(error), wave);
        this.grow();
      });
      return false;
    }
  }

  #backOff(): void {
    const delay = Math.min(LONGEST_BACKOFF, BACKOFF * 2 ** (this.#failures + this.#idleDeaths - 1));
    this.#retryAt = this.#clock.monotonic() + delay;
  }

  /** The process waits for it only if somebody does. */
  #retryLater(): void {
    this.#retry.cancel();
    this.#retry.at(this.#retryAt, this.#host.needed() > 0 || this.#warming.length > 0);
  }

  #drop(thread: Thread): void {
    this.#starting.delete(thread);
    for (const list of [this.active, this.#bench]) {
      const at = list.indexOf(thread);
      if (at >= 0) list.splice(at, 1);
    }
  }

  #promote(): void {
    while (this.active.length + this.#out.size < this.#max) {
      const thread = this.#bench.shift();
      if (!thread) return;
      thread.seenAt = this.#clock.monotonic();
      this.active.push(thread);
      this.#host.activated(thread);
      this.idle(thread);
    }
  }

  /** Ends what is more than `threads` and the spare: those that have not started first. */
  #trim(): void {
    for (const thread of [...this.#starting.keys(), ...this.#bench]) {
      if (this.#usable <= this.#max + this.#spare) return;
      this.kill(thread);
    }
  }

  #purgeIdle(): void {
    const { idleTimeout, min } = this.#options.settings;
    const now = this.#clock.monotonic();
    for (const thread of this.active.toReversed()) {
      if (thread.held > 0) continue;
      if (thread.seenAt + idleTimeout > now) this.idle(thread);
      else if (this.active.length + this.#bench.length > min) {
        this.counts.purged++;
        this.kill(thread);
      }
    }
    if (this.active.some((thread) => thread.held > 0)) return;
    this.#spare = 0;
    for (const thread of this.#bench.toReversed()) {
      if (this.active.length + this.#bench.length > min) this.kill(thread);
    }
  }

  #warmed(): void {
    const ready = this.active.length + this.#bench.length;
    const isDone = ({ threads }: Warming) => ready >= Math.min(threads, this.#max);
    for (const { resolve } of this.#warming.filter(isDone)) resolve();
    this.#warming = this.#warming.filter((warming) => !isDone(warming));
  }
}
