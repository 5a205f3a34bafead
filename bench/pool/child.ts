/**
 * One measurement in a process of its own, so that no contender meets the heap or the compiled code of another.
 *
 *   node --expose-gc bench/pool/child.ts '{"measure":"backlog","pool":"millrace","jobs":10000}'
 *
 * Prints the figures as one line of JSON and ends at once, whatever the pool still has running.
 */
import { writeSync } from 'node:fs';
import type { Spec } from './figures.ts';
import { measures } from './measures/index.ts';

const spec: Spec = JSON.parse(process.argv[2] ?? '{}');
const measure = measures[spec.measure];
if (!measure) throw new Error(`no measure is called "${spec.measure}"`);
writeSync(1, `${JSON.stringify(await measure(spec))}\n`);
process.exit(0);
