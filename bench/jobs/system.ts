/** A job system, as the measures see it. Each is used as its manual shows, with nothing around it but these calls. */
import type { Letter } from '../letters.ts';
import type { Task } from './spec.ts';

/** Does nothing but count: the time is the system's. */
export type Handler = (letter: Letter) => Promise<void>;

/** Handlers that run at once, where the system can be told. */
export const CONCURRENCY = 100;

export interface System {
  /** When it resolves the job is stored, as safely as the system stores anything. */
  add(letter: Letter): unknown;
  /** The same in one call. Absent: the system has no such call. */
  addMany?(letters: readonly Letter[]): unknown;
  /** Starts the workers. Once. */
  work(handler: Handler): Promise<void>;
  /** Jobs in the store that have not ended. */
  left(): number | Promise<number>;
  /** Ends the workers; what they have run is settled then. Absent: they go with the process. */
  stop?(): Promise<void>;
}

/** The system, empty, on the folder or the server of the task. */
export type Open = (task: Task) => Promise<System>;
