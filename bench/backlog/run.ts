/**
 * The backlog bench: does a job cost more when many others wait?
 *
 *   npm run bench:backlog                          every table, about a quarter of an hour
 *   npm run bench:backlog -- sqlite server         these sections; there are memory, sqlite and server
 *   npm run bench:backlog -- --only fifo,keys      of memory and sqlite the variants whose names begin like that
 *   npm run bench:backlog -- sqlite --large        with ten million waiting in files too: some GB of disk, much longer
 *   npm run bench:backlog -- --quick               a hundredth of it, one round: does everything run? Figures mean nothing
 *
 *   --rounds N    runs per line, taking turns; the table shows medians. Default 3
 *   --limit N     seconds a run may take, after which it is killed and its row sits out. Default 900
 *   --folder DIR  where the databases go; on a real disk. Default ./millrace-data/bench
 *
 * Needs no peers: what is compared is a long line with a short one. Every run is a process of its own on an empty folder.
 *
 * Exits with 1 when a run failed: a job was lost or given twice, something threw, or was not done in time. A missed target is
 * printed, and is no failure.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { figuresOf } from '../children.ts';
import { type Figures, summarise, tellFigures } from '../figures.ts';
import { measureInChild } from '../jobs/measure.ts';
import { machine } from '../machine.ts';
import { inRounds } from '../rounds.ts';
import { sqliteVersion } from '../sqlite/version.ts';
import { formatTable } from '../table.ts';
import { type Contender, type Section, sections } from './sections.ts';
import type { Task } from './spec.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    limit: { type: 'string', default: '900' },
    only: { type: 'string' },
    folder: { type: 'string', default: './millrace-data/bench' },
    large: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
  },
});
const all = sections({ large: values.large, quick: values.quick });
const unknown = positionals.find((name) => !(name in all));
if (unknown) {
  console.error(`bench: no section "${unknown}"; there are: ${Object.keys(all).join(', ')}`);
  process.exit(2);
}
const rounds = Number(values.rounds ?? (values.quick ? 1 : 3));
const limit = Number(values.limit) * 1000;
const folder = resolve(values.folder);
mkdirSync(folder, { recursive: true });
const begins = values.only?.split(',');

console.log(machine());
console.log(`Node ${process.version} (SQLite ${sqliteVersion()})`);
let broken = false;
for (const name of positionals.length > 0 ? positionals : Object.keys(all)) {
  for (const section of all[name] ?? []) if (isWanted(section)) await runSection(section);
}
process.exitCode = broken ? 1 : 0;

async function runSection({ title, contenders, columns, reference, verdicts }: Section): Promise<void> {
  console.log(`\n## ${title}\n\n${rounds} × ${contenders.length} runs${values.quick ? ', QUICK' : ''}`);
  const runs = await inRounds(contenders, rounds, measure, (contender, round, run) => {
    // One line per run on stderr, so that the tables can be kept without them.
    console.error(`  round ${round}  ${contender.name}: ${tellFigures(run)}`);
    broken ||= run instanceof Error;
  });
  const medians = new Map<string, Figures>();
  for (const [name, its] of runs) if (its.length > 0) medians.set(name, summarise(its));
  if (medians.size > 0) console.log(`\n${formatTable(columns, medians, reference)}`);
  for (const line of verdicts(medians)) console.log(`- ${line}`);
}

async function measure(contender: Contender): Promise<Figures> {
  if ('server' in contender) return measureInChild(contender.server, undefined, { limit, folder });
  const own = mkdtempSync(join(folder, 'backlog-'));
  try {
    const task: Task = { ...contender.cost, folder: own };
    const program = fileURLToPath(new URL('./child.ts', import.meta.url));
    const args = ['--disable-warning=ExperimentalWarning', program, JSON.stringify(task)];
    return await figuresOf(process.execPath, args, { limit });
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}

/** The tables of a server have no variants. */
function isWanted({ contenders: [first] }: Section): boolean {
  if (!begins || !first || 'server' in first) return true;
  return begins.some((start) => first.cost.variant.startsWith(start));
}
