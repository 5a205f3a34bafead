/**
 * A limit that is moved once per round trip, by what the attempts of that round say together.
 *
 *   moved         moved         moved         a round ends with the first attempt that was begun in it: by then the
 *     │ ◀─ round ─▶ │ ◀─ round ─▶ │           last move has had its effect
 *   ──┴─●─●─●●─●──●─┴●─●──●●─●──●─┴──▶ samples
 *
 * The libraries these algorithms come from feed them by the sample or by a window of a second. By the sample, sixty
 * slow answers are sixty steps for one cause; a window needs a timer and its length a decision. A round trip is the
 * span that TCP uses.
 *
 * Rules for all that extend it:
 * - The limit grows only if it held the caller back, and latency shrinks it only if half of it was in use.
 * - An overload counts at once, and begins the round anew.
 * - Samples without a latency move no latency; sizes are told apart (sizes.ts).
 */
import type { Clock } from '../../clock.ts';
import type { Level } from './level.ts';
import type { Limit, Sample } from './limit.ts';
import { SizeScale } from './sizes.ts';

export abstract class Paced implements Limit {
  readonly #level: Level;
  readonly #clock: Clock;
  readonly #sizes = new SizeScale();
  #roundAt = Number.NEGATIVE_INFINITY;
  #overloadAt = Number.NEGATIVE_INFINITY;
  /** Of the round so far: the mean latency and of how many, the most in flight, whether the limit held back. */
  #rtt = 0;
  #count = 0;
  #inFlight = 0;
  #heldBack = false;

  constructor(level: Level) {
    this.#level = level;
    this.#clock = level.clock;
  }

  /** The next level after a round of `count` answers of `rtt` ms on the average. Called for every round. */
  protected abstract onRound(level: number, rtt: number, count: number): number;
  /** The next level after an overload; `echo` when the attempt began before the last one was known. */
  protected abstract onOverload(level: number, echo: boolean): number;
  /** Forgets all latencies. */
  protected abstract onRestart(): void;

  get limit(): number {
    return this.#level.limit;
  }

  sample(sample: Sample): void {
    if (sample.outcome === 'ok') this.#answered(sample);
    else if (sample.outcome === 'overload') this.#refused(sample);
  }

  restart(): void {
    this.#level.value = Math.min(this.#level.low, this.#level.value);
    this.#sizes.reset();
    this.#beginRound();
    this.onRestart();
  }

  #answered(sample: Sample): void {
    if (sample.rtt !== undefined) {
      this.#count++;
      this.#rtt += (this.#sizes.level(sample.rtt, sample.bytes) - this.#rtt) / this.#count;
    }
    this.#inFlight = Math.max(this.#inFlight, sample.inFlight);
    this.#heldBack ||= this.#level.heldBack(sample);
    if (sample.startedAt < this.#roundAt) return;
    if (this.#count > 0) this.#move(this.onRound(this.#level.value, this.#rtt, this.#count));
    this.#beginRound();
  }

  #refused(sample: Sample): void {
    const echo = sample.startedAt <= this.#overloadAt;
    if (!echo) this.#overloadAt = this.#clock.monotonic();
    this.#level.value = this.onOverload(this.#level.value, echo);
    this.#beginRound();
  }

  #move(next: number): void {
    const { value } = this.#level;
    if (next > value ? this.#heldBack : 2 * this.#inFlight >= value) this.#level.value = next;
  }

  #beginRound(): void {
    this.#roundAt = this.#clock.monotonic();
    this.#rtt = 0;
    this.#count = 0;
    this.#inFlight = 0;
    this.#heldBack = false;
  }
}
