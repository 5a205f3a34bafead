/** What a child of the backlog bench is told. */

export interface Spec {
  readonly backend: 'memory' | 'sqlite';
  /** A key of variants.ts. */
  readonly variant: string;
  /** Jobs that wait, all the time. */
  readonly waiting: number;
  /** Times that each operation is timed, with a batch each. */
  readonly rounds: number;
}

/** What only the run knows. */
export interface Task extends Spec {
  /** Empty, and removed afterwards: where the file goes. */
  readonly folder: string;
}
