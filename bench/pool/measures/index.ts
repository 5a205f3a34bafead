/** Everything a child can be asked to measure, by name. */
import type { Figures, Spec } from '../figures.ts';
import { backlog, fanIn, steady } from './local.ts';
import { abort, cpu, roundTrip, threads } from './threads.ts';
import { cancel, linear, memory } from './waiting.ts';

export const measures: Readonly<Record<string, (spec: Spec) => Promise<Figures>>> = {
  backlog,
  steady,
  'fan-in': fanIn,
  memory,
  linear,
  cancel,
  threads,
  cpu,
  'round-trip': roundTrip,
  abort,
};
