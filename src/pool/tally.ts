/**
 * Counts what became of tasks, and how long it took.
 */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import type { Task } from './task.ts';

/** In microseconds, of the tasks that started. */
export interface PoolHistograms {
  /** From the call to the start of the body. */
  readonly wait: RecordableHistogram;
  /** From the start of the body to the outcome. */
  readonly run: RecordableHistogram;
}

export class Tally {
  submitted = 0;
  fulfilled = 0;
  rejected = 0;
  cancelled = 0;
  timedOut = 0;
  dropped = 0;
  refused = 0;
  readonly histograms: PoolHistograms | undefined;

  constructor(histograms: boolean) {
    this.histograms = histograms ? { wait: createHistogram(), run: createHistogram() } : undefined;
  }

  /** Looks at no error: what a body throws may be anything, and the error of another task as well. */
  settled({ status, timedOut, times }: Task): void {
    if (status === 'fulfilled') this.fulfilled++;
    else if (status === 'rejected') this.rejected++;
    else this.cancelled++;
    if (timedOut) this.timedOut++;
    if (!this.histograms || times?.started === undefined) return;
    record(this.histograms.wait, times.started - times.submitted);
    record(this.histograms.run, times.settled - times.started);
  }

  /** The counts, as they are now. */
  get counts() {
    const { submitted, fulfilled, rejected, cancelled, timedOut, dropped, refused } = this;
    return { submitted, fulfilled, rejected, cancelled, timedOut, dropped, refused };
  }
}

/** A histogram takes whole numbers from 1. */
function record(histogram: RecordableHistogram, ms: number): void {
  histogram.record(Math.max(1, Math.round(ms * 1000)));
}
