/** A backlog of node-resque's, worked off by its own workers and by ours. */
import { column, ratioColumn } from '../figures.ts';
import { contendersOf, floor, type Row, type Section, times } from '../jobs/sections.ts';
import { figure } from '../table.ts';

const OURS = 'millrace';
const THEIRS = 'node-resque';
const SHARED = 'node-resque, one connection';

const rows: Readonly<Record<string, Row>> = {
  [OURS]: { system: 'resque', server: 'redis', settings: { workers: 'millrace' } },
  [THEIRS]: { system: 'resque', server: 'redis', settings: { workers: 'node-resque' } },
  [SHARED]: { system: 'resque', server: 'redis', settings: { workers: 'node-resque, shared' } },
};

const JOBS = 100_000;

export const sections = (): Readonly<Record<string, Section>> => ({
  process: {
    title: 'Process: jobs enqueued by node-resque, 100 handlers at once that do nothing',
    contenders: contendersOf(rows, 'process', { [THEIRS]: JOBS, [SHARED]: JOBS, [OURS]: JOBS }),
    columns: [
      column('jobs', 'jobs'),
      column('jobs/s', 'perSecond'),
      ratioColumn('perSecond'),
      column('Redis CPU µs/job', 'redis', figure),
      column('own CPU µs/job', 'cpu', figure),
      column('peak MB', 'rss'),
      column('foreign CPU %', 'foreign', figure),
    ],
    reference: THEIRS,
    targets: (medians) => [floor('millrace ÷ node-resque', times(medians, OURS, THEIRS), 5)],
  },
});
