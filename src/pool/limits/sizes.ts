/**
 * Latency grows with the size of what is sent; that must not pass for a slow store. Bodies are sorted into classes, each
 * four times the one before, and compared within their class.
 *
 *   class     0     1      2      3     …    8
 *   up to   4 KiB 16 KiB 64 KiB 256 KiB …  and more
 */

export const SIZE_CLASSES = 9;

export function sizeClass(bytes: number): number {
  const quarters = Math.ceil(Math.log2(Math.max(1, bytes / 4096)) / 2);
  return Math.min(SIZE_CLASSES - 1, quarters);
}

/** Shortest latency, ms: below it is the grain of the clock. */
const GRAIN = 0.001;
/** What a best latency gives way per sample above it: a lucky one is forgotten within some thousand. */
const LEAK = 0.001;

/**
 * Puts latencies of all sizes on one scale: how long a body of the class that came first would have taken. A class is
 * related to another by the best latencies of both, so load, which lengthens all of them, stays visible. With bodies of
 * one class the latency comes out as it went in.
 */
export class SizeScale {
  readonly #best: number[] = new Array(SIZE_CLASSES).fill(Number.POSITIVE_INFINITY);
  #reference: number | undefined;

  /** The latency `measured`, in ms, of a body of `bytes`, on the common scale. */
  level(measured: number, bytes = 0): number {
    const rtt = Math.max(measured, GRAIN);
    const size = sizeClass(bytes);
    this.#reference ??= size;
    const past = this.#best[size] as number;
    const best = rtt < past ? rtt : past + LEAK * (rtt - past);
    this.#best[size] = best;
    return size === this.#reference ? rtt : (rtt / best) * (this.#best[this.#reference] as number);
  }

  reset(): void {
    this.#best.fill(Number.POSITIVE_INFINITY);
    this.#reference = undefined;
  }
}
