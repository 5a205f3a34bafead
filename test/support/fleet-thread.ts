/** A body that computes without end, and hears nothing. */
import type { ThreadJobContext } from '../../src/index.ts';

export default function run(_: null, job: ThreadJobContext): never {
  job.progress('begun');
  for (;;);
}
