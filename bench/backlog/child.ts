/**
 * One measurement in a process of its own.
 *
 *   node bench/backlog/child.ts '{"backend":"sqlite","variant":"fifo","waiting":1000,"rounds":100,"folder":"/an/empty/folder"}'
 *
 * Prints the figures as one line of JSON.
 */
import { cost } from './cost.ts';
import type { Task } from './spec.ts';

const task: Task = JSON.parse(process.argv[2] ?? '{}');
console.log(JSON.stringify(await cost(task)));
