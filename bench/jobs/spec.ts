/** What a child of the benches of job systems is told. All names come from a sections.ts. */

export interface Spec {
  /** A key of measures.ts. */
  readonly measure: string;
  /** A key of systems.ts. */
  readonly system: string;
  /** Jobs that count, without those that warm up. */
  readonly jobs: number;
  /** What has to be there for it: an empty Redis server of its own. */
  readonly server?: 'redis';
  /** Jobs that wait behind those that count. Only `waiting`. */
  readonly behind?: number;
  /** Seconds of doing nothing, in `idle` and at the end of `pick-up`, default 5; before the work of `waiting`, default 3. */
  readonly idle?: number;
  /** Processes with workers. Only `fleet`. */
  readonly processes?: number;
  /** Turns of a loop that a handler makes, a nanosecond or so each. Only `fleet`. Default 0. */
  readonly busy?: number;
  /** ms without a run, with nothing left in the store, after which jobs are taken for lost. Default 5,000. */
  readonly patience?: number;
  /** Of the system, in its own words. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

/** What only the run knows. */
export interface Task extends Spec {
  /** Empty, and removed afterwards: where the files go. */
  readonly folder: string;
  /** The port of a Redis server with nothing in it, for those that need one. */
  readonly redis?: number;
}
