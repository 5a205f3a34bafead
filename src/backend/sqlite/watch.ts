/**
 * When to look for what other processes have committed.
 *
 *   at work   every TICK ms: something was committed lately, here or elsewhere
 *   at rest   when the file system says that the log was written, and every SAFETY ms in case it says nothing
 *
 * A look costs little, but forty a second, each of which wakes a thread, is most of what an idle process would do. While
 * this process commits, the file system would report each of its own writes: ticks are cheaper then.
 */
import { type FSWatcher, watch } from 'node:fs';
import { type Clock, systemClock, type Timer } from '../../clock.ts';

const TICK = 25;
const SAFETY = 1_000;
/** Looks in a row that found nothing, and no commit of ours: time to rest. */
const QUIET = 40;
/** Reports between two safety looks that end the rest: a beat makes a few, work makes many. */
const LIVELY = 20;

export interface WatchOptions {
  /** The write-ahead log. */
  readonly log: string;
  /** Looks; true when there was something. */
  readonly look: () => boolean;
  /** Default: the system's. */
  readonly clock?: Clock;
}

export class Watch {
  readonly #log: string;
  readonly #look: () => boolean;
  readonly #clock: Clock;
  #timer: Timer | undefined;
  #watcher: FSWatcher | undefined;
  /** The file system has failed to watch: ticks only. */
  #isBlind = false;
  #quiet = 0;
  #reports = 0;

  constructor({ log, look, clock = systemClock }: WatchOptions) {
    this.#log = log;
    this.#look = look;
    this.#clock = clock;
  }

  start(): void {
    if (this.#timer) return;
    this.#quiet = 0;
    this.#tick();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#close();
  }

  /** This process has committed something. */
  committed(): void {
    this.#quiet = 0;
  }

  #tick(): void {
    this.#timer = this.#clock.timer(
      TICK,
      () => {
        this.#quiet = this.#look() ? 0 : this.#quiet + 1;
        if (this.#quiet >= QUIET && !this.#isBlind) this.#rest();
        else this.#tick();
      },
      { unref: true },
    );
  }

  #rest(): void {
    try {
      const watcher = watch(this.#log, { persistent: false }, () => this.#reported());
      watcher.on('error', () => this.#goBlind());
      this.#watcher = watcher;
    } catch {
      this.#goBlind(); // no more watches are to be had, or a file system that has none
      return;
    }
    this.#reports = 0;
    this.#look(); // what came before the watch began
    this.#check();
  }

  /** The safety look at rest. */
  #check(): void {
    this.#timer = this.#clock.timer(
      SAFETY,
      () => {
        this.#reports = 0;
        this.#look();
        this.#check();
      },
      { unref: true },
    );
  }

  #reported(): void {
    if (!this.#watcher) return;
    this.#reports++;
    this.#look();
    if (this.#reports >= LIVELY) this.#wake();
  }

  #goBlind(): void {
    this.#isBlind = true;
    this.#wake();
  }

  #wake(): void {
    this.stop();
    this.start();
  }

  #close(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}
