/**
 * SIGINT and SIGTERM: the first ends the services cleanly, in the order given; a second one ends the process at once.
 * Nothing is lost either way: what a killed server held is rescued.
 */

export interface StopOnSignalsOptions {
  /** Told which signal came, before the stop begins. */
  readonly onSignal?: (signal: NodeJS.Signals) => void;
  /** Ends the process at the second signal. Default `process.exit`. */
  readonly exit?: (code: number) => void;
}

const codes = { SIGINT: 130, SIGTERM: 143 } as const;

/** Resolves when a signal came and every service has stopped; rejects with the first stop that failed. Leaves no listener. */
export async function stopOnSignals(
  services: readonly { stop(): Promise<void> }[],
  options: StopOnSignalsOptions = {},
): Promise<void> {
  const { onSignal, exit = process.exit } = options;
  const signals = Object.keys(codes) as (keyof typeof codes)[];
  let first: (signal: NodeJS.Signals) => void = () => undefined;
  let stopping = false;
  const handle = (signal: NodeJS.Signals) => {
    if (stopping) return exit(codes[signal as keyof typeof codes]);
    stopping = true;
    first(signal);
  };
  for (const signal of signals) process.on(signal, handle);
  try {
    const signal = await new Promise<NodeJS.Signals>((resolve) => {
      first = resolve;
    });
    onSignal?.(signal);
    for (const service of services) await service.stop();
  } finally {
    for (const signal of signals) process.off(signal, handle);
  }
}
