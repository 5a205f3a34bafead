/** The worker module of consumer.ts: TypeScript as it is, in a thread of the packed package. */
import type { ThreadContext } from 'millrace';

export default function square(n: number, { aborted }: ThreadContext): number {
  return aborted ? 0 : n * n;
}
