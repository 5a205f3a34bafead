/**
 * SIGINT, SIGTERM, SIGQUIT: the first ends the services cleanly, in the order given; a second one ends the process at once.
 * Nothing is lost either way: what a killed server held is rescued.
 */

export interface StopOnSignalsOptions {
  /** Told which signal came, before the stop begins. */
  readonly onSignal?: (signal: StopSignal) => void;
  /** Which signals end the services. Default SIGINT and SIGTERM. */
  readonly signals?: readonly StopSignal[];
  /** Ends the services too, when it resolves. Must not reject. Default: only signals do. */
  readonly until?: Promise<void>;
  /** Ends the process at the second signal. Default `process.exit`. */
  readonly exit?: (code: number) => void;
}

const codes = { SIGINT: 130, SIGQUIT: 131, SIGTERM: 143 } as const;
export type StopSignal = keyof typeof codes;

/** Resolves when it was time and every service has stopped; rejects with the first stop that failed. Leaves no listener. */
export async function stopOnSignals(
  services: readonly { stop(): Promise<void> }[],
  options: StopOnSignalsOptions = {},
): Promise<void> {
  const { onSignal, signals = ['SIGINT', 'SIGTERM'], until, exit = process.exit } = options;
  let first: (signal: StopSignal) => void = () => undefined;
  let stopping = false;
  const handle = (signal: NodeJS.Signals) => {
    if (stopping) return exit(codes[signal as StopSignal]);
    stopping = true;
    first(signal as StopSignal);
  };
  for (const signal of signals) process.on(signal, handle);
  try {
    const signal = await new Promise<StopSignal | void>((resolve) => {
      first = resolve;
      void until?.then(resolve);
    });
    if (signal) onSignal?.(signal);
    for (const service of services) await service.stop();
  } finally {
    for (const signal of signals) process.off(signal, handle);
  }
}
