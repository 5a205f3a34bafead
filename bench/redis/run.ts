/**
 * The Redis bench: Millrace on Redis beside everybody else's job system there, and beside a bare loop of Lua.
 *
 *   npm run bench:redis                            every section, about half an hour
 *   npm run bench:redis -- add process             these sections
 *   npm run bench:redis -- --only millrace,bare    contenders whose names begin like that
 *   npm run bench:redis -- waiting --large         with ten million waiting too: some GB of memory, minutes more
 *   npm run bench:redis -- --quick                 a hundredth of the jobs, one round: does everything run? Figures mean nothing
 *
 *   --rounds N    runs per contender, taking turns; the table shows medians. Default 3
 *   --limit N     seconds a run may take, after which it is killed and its contender sits out. Default 300
 *   --folder DIR  where the servers keep their logs; on a real disk. Default ./millrace-data/bench
 *
 * It starts a redis-server for each run, empty, on a free port of the loopback, with `appendonly yes` and `appendfsync everysec`, and lets
 * one that runs already be. Peers are installed into bench/jobs/peers on the first run; where one cannot be, its rows are left
 * out, and it says so. Every run is a process of its own.
 *
 * Exits with 1 when a run failed: a job was lost or run twice, something threw, or was not done in time. A missed target is
 * printed, and is no failure.
 */
import { runBench } from '../jobs/program.ts';
import { sections } from './sections.ts';

await runBench(sections);
