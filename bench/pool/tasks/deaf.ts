import { type Stoppable, tellStarted } from './context.ts';

/** A bench that cannot stop it should fail, not hang. */
const LONGEST = 10_000;

/** Computes and listens to nobody. */
export default function deaf({ started }: Stoppable): void {
  if (!started) return;
  tellStarted(started);
  const end = performance.now() + LONGEST;
  while (performance.now() < end);
}
