import { type Context, type Stoppable, tellStarted } from './context.ts';

/** Computes for ever, and looks whether it still should. */
export default function polls({ started }: Stoppable, context: Context): void {
  if (!started) return;
  tellStarted(started);
  while (!context.aborted);
}
