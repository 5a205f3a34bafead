/** What a crew of threads tells about itself: its state now, and totals since it was made. */
export interface CrewStats {
  /** Threads that take jobs. */
  readonly threads: number;
  readonly starting: number;
  /** Ready, and waiting to take the place of one that ends. */
  readonly benched: number;
  /** On their way out. */
  readonly leaving: number;
  /** Bodies that run. */
  readonly started: number;
  /** Jobs in threads whose bodies have not begun. */
  readonly prefetched: number;
  /** Jobs that no thread has. */
  readonly waiting: number;
  /** Jobs that are handed to a thread ahead. */
  readonly window: number;
  /** Weighted mean of the run time, ms; undefined before the first body has ended. */
  readonly runTime: number | undefined;

  /** Threads that were started, */
  readonly spawned: number;
  /** and of those: that did not get ready, */
  readonly failed: number;
  /** that died, */
  readonly died: number;
  /** that were replaced because of `maxTasks` or `maxHeap`, */
  readonly recycled: number;
  /** that were ended because they were idle, */
  readonly purged: number;
  /** that did not end within `terminateTimeout`. */
  readonly stuck: number;
  /** Bodies that ended with their thread, because they did not heed an abort. */
  readonly terminated: number;
  /** Jobs that were taken back from one thread to be given to another. */
  readonly moved: number;
}
