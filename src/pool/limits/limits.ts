/**
 * The concurrency limits there are, and which to take.
 *
 *   fixed       you know the number
 *   aimd        default for a store that refuses when it has enough (S3): stays just below the knee, few refusals
 *   arc         a store that neither refuses nor tells: follows latency, gentle, begins at 1
 *   vegas       a service near by whose latency without load is steady: keeps its queue short
 *   gradient2   a service whose latency varies by itself: reacts to change only
 *
 *   const limit = limits.arc({ max: 64 });
 */
import { Aimd, type AimdOptions } from './aimd.ts';
import { Arc, type ArcOptions } from './arc.ts';
import { Gradient2, type Gradient2Options } from './gradient2.ts';
import { fixedLimit, type Limit } from './limit.ts';
import { Vegas, type VegasOptions } from './vegas.ts';

export const limits = {
  fixed: (limit: number): Limit => fixedLimit(limit),
  aimd: (options?: AimdOptions): Limit => new Aimd(options),
  vegas: (options?: VegasOptions): Limit => new Vegas(options),
  gradient2: (options?: Gradient2Options): Limit => new Gradient2(options),
  arc: (options?: ArcOptions): Limit => new Arc(options),
} as const;
