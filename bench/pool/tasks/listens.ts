import { type Context, type Stoppable, tellStarted } from './context.ts';

/** Waits for something that never comes, and listens to its signal. */
export default async function listens({ started }: Stoppable, { signal }: Context): Promise<void> {
  if (!started) return;
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  tellStarted(started);
  await aborted;
}
