/**
 * When the server was out of reach for this process. Then it was for others too: they could not beat, and must not be taken for
 * dead because this process is the first that comes back. So such a time does not count for a lease, as long as the others have
 * had one lease to come back.
 *
 *   called ──▶ no answer, given up ──▶ called again ──▶ answered
 *   ├──────────────────── a lull ───────────────────────┤
 *
 * A process that was started in the middle of it knows nothing of it.
 */
import { type Clock, systemClock } from '../../clock.ts';
import { isError } from '../../errors.ts';

interface Lull {
  readonly ms: number;
  readonly endedAt: number;
}

/** Shorter ones, ms, are not worth remembering. */
const SHORT = 100;

export class Lulls {
  readonly #clock: Clock;
  /** Each is shorter than those before it. */
  #past: Lull[] = [];
  /** When the first of the calls was made that were not answered, since one was. */
  #since: number | undefined;

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** What the call resolves or rejects to, noted. */
  async watch<T>(call: () => Promise<T>): Promise<T> {
    const madeAt = this.now();
    try {
      const answer = await call();
      this.answered(madeAt);
      return answer;
    } catch (error) {
      if (isError(error, 'BACKEND_UNAVAILABLE')) this.givenUp(madeAt);
      else this.answered(madeAt);
      throw error;
    }
  }

  now(): number {
    return this.#clock.monotonic();
  }

  /** A call that was made at `madeAt` was answered, if only with a refusal. */
  answered(madeAt: number): void {
    const endedAt = this.now();
    const ms = endedAt - (this.#since ?? madeAt);
    this.#since = undefined;
    if (ms < SHORT) return;
    this.#past = this.#past.filter((lull) => lull.ms > ms);
    this.#past.push({ ms, endedAt });
  }

  /** A call that was made at `madeAt` was given up. */
  givenUp(madeAt: number): void {
    this.#since = Math.min(madeAt, this.#since ?? madeAt);
  }

  /** How long a server may not have beaten until it is dead, if that is `lease` as a rule. */
  fair(lease: number): number {
    const recent = this.#past.find(({ endedAt }) => this.now() - endedAt < lease);
    return lease + (recent?.ms ?? 0);
  }
}
