/**
 * One measurement in a process of its own. Under Node, Bun, or an older Node, as the system needs it.
 *
 *   node bench/jobs/child.ts '{"measure":"add","system":"millrace","jobs":1000,"folder":"/an/empty/folder"}'
 *
 * Prints the figures as one line of JSON and ends at once, whatever the system still has running.
 */
import { writeSync } from 'node:fs';
import { measures, redisMeasures } from './measures.ts';
import type { Task } from './spec.ts';
import { loadSystem } from './systems.ts';

const task: Task = JSON.parse(process.argv[2] ?? '{}');
const measure = measures[task.measure] ?? redisMeasures[task.measure];
if (!measure) throw new Error(`no measure is called "${task.measure}"`);
const open = await loadSystem(task);
writeSync(1, `${JSON.stringify(await measure(open, task))}\n`);
process.exit(0);
