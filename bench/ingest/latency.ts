/** Latencies in ms, counted in steps of 0.01 up to a second and of 1 up to a minute. Constant memory, no sorting. */
export class LatencyHistogram {
  readonly #fine = new Uint32Array(100_000);
  readonly #coarse = new Uint32Array(60_000);
  #count = 0;
  max = 0;

  add(ms: number): void {
    this.#count++;
    if (ms > this.max) this.max = ms;
    if (ms < 1000) (this.#fine[Math.floor(ms * 100)] as number)++;
    else (this.#coarse[Math.min(59_999, Math.floor(ms))] as number)++;
  }

  /** The latency that the share `q` of all stays under; 0 when there was none. */
  quantile(q: number): number {
    let left = q * this.#count;
    if (left === 0) return 0;
    for (const [steps, scale] of [
      [this.#fine, 100],
      [this.#coarse, 1],
    ] as const) {
      for (let i = 0; i < steps.length; i++) {
        left -= steps[i] as number;
        if (left <= 0) return (i + 1) / scale;
      }
    }
    return this.max;
  }
}
