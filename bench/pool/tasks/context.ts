/** What a Millrace thread gives its module beside the payload. Peers give nothing, or something else. */
export interface Context {
  readonly signal: AbortSignal;
  /** For loops that do not let the event loop run. */
  readonly aborted: boolean;
}

/** Payload of the tasks that are to be aborted. */
export interface Stoppable {
  /** Set to 1 when the body runs. Absent: there is nothing to wait for, the task ends at once. */
  readonly started?: SharedArrayBuffer;
}

export function tellStarted(started: SharedArrayBuffer): void {
  const flag = new Int32Array(started);
  Atomics.store(flag, 0, 1);
  Atomics.notify(flag, 0);
}
