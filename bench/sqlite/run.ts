/**
 * The durable bench: Millrace on SQLite beside everybody else's job system, and beside a bare loop of SQL.
 *
 *   npm run bench:sqlite                            every section, about a quarter of an hour
 *   npm run bench:sqlite -- add process             these sections
 *   npm run bench:sqlite -- --only millrace,bare    contenders whose names begin like that
 *   npm run bench:sqlite -- waiting --large         with ten million waiting too: some GB of disk, minutes more
 *   npm run bench:sqlite -- --quick                 a hundredth of the jobs, one round: does everything run? Figures mean nothing
 *
 *   --rounds N    runs per contender, taking turns; the table shows medians. Default 3
 *   --limit N     seconds a run may take, after which it is killed and its contender sits out. Default 300
 *   --folder DIR  where the databases go; on a real disk. Default ./millrace-data/bench
 *
 * Peers are installed into bench/jobs/peers on the first run. Where one cannot be, or needs a server that is not there,
 * its rows are left out, and it says so. Every run is a process of its own on an empty folder, or an empty Redis server.
 *
 * Exits with 1 when a run failed: a job was lost or run twice, something threw, or was not done in time. A missed target is
 * printed, and is no failure.
 */
import { runBench } from '../jobs/program.ts';
import { sections } from './sections.ts';
import { sqliteVersion } from './version.ts';

await runBench(sections, `(SQLite ${sqliteVersion()})`);
