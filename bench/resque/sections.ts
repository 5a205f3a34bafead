/** A backlog of node-resque's, worked off by its own workers and by ours. */
import { OURS, type Row, raceOf, redisRates, type Section } from '../jobs/sections.ts';

const THEIRS = 'node-resque';
const SHARED = 'node-resque, one connection';

const rows: Readonly<Record<string, Row>> = {
  [OURS]: { system: 'resque', server: 'redis', settings: { workers: 'millrace' } },
  [THEIRS]: { system: 'resque', server: 'redis', settings: { workers: 'node-resque' } },
  [SHARED]: { system: 'resque', server: 'redis', settings: { workers: 'node-resque, shared' } },
};

const JOBS = 100_000;

export const sections = (): Readonly<Record<string, Section>> => ({
  process: raceOf({
    title: 'Process: jobs enqueued by node-resque, 100 handlers at once that do nothing',
    measure: 'process',
    jobs: { [THEIRS]: JOBS, [SHARED]: JOBS, [OURS]: JOBS },
    rows,
    columns: redisRates,
    reference: THEIRS,
    wanted: { [THEIRS]: 5 },
  }),
});
