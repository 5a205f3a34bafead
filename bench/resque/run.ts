/**
 * The Resque bench: a backlog that node-resque enqueued, worked off by its own workers and by Millrace's on the same wire.
 *
 *   npm run bench:resque                     about two minutes
 *   npm run bench:resque -- --quick          a hundredth of the jobs, one round: does everything run? Figures mean nothing
 *
 * The other options, what it needs and how it ends: see bench/redis/run.ts. node-resque is there already, for the tests.
 */
import { runBench } from '../jobs/program.ts';
import { sections } from './sections.ts';

await runBench(sections);
