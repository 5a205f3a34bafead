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
 * Peers are installed into bench/sqlite/peers on the first run. Where one cannot be, or needs a server that is not there,
 * its rows are left out, and it says so. Every run is a process of its own on an empty folder, or an empty Redis server.
 *
 * Exits with 1 when a run failed: a job was lost or run twice, something threw, or was not done in time. A missed target is
 * printed, and is no failure.
 */
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Figures, summarise, tellFigures } from '../figures.ts';
import { machine } from '../machine.ts';
import { inRounds } from '../rounds.ts';
import { formatTable } from '../table.ts';
import { measureInChild } from './measure.ts';
import { describePeer, installPeer, sqliteVersion } from './peers.ts';
import { type Contender, type Section, sections, shrink } from './sections.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    limit: { type: 'string', default: '300' },
    only: { type: 'string' },
    folder: { type: 'string', default: './millrace-data/bench' },
    large: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
  },
});
const all = sections(values.large);
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

const chosen = (positionals.length > 0 ? positionals : Object.keys(all))
  .map((name) => all[name] as Section)
  .map((section) => ({ section, contenders: section.contenders.filter(({ name }) => isWanted(name)) }));
const wanted = new Set(chosen.flatMap(({ contenders }) => contenders.flatMap(({ peer }) => peer ?? [])));
/** Peers that are not there, and why. */
const missing = new Map<string, string>();
for (const peer of wanted) {
  const reason = installPeer(peer);
  if (reason) missing.set(peer, reason);
}

console.log(machine());
const present = [...wanted].filter((peer) => !missing.has(peer)).map(describePeer);
console.log([`Node ${process.version} (SQLite ${sqliteVersion()})`, ...present].join(', '));
for (const [peer, reason] of missing) console.log(`NOT RUN: ${rowsOf(peer).join('; ')}: ${reason}`);
let broken = false;
for (const { section, contenders } of chosen) {
  await runSection(
    section,
    contenders.filter(({ peer }) => !peer || !missing.has(peer)),
  );
}
process.exitCode = broken ? 1 : 0;

async function runSection(section: Section, contenders: readonly Contender[]): Promise<void> {
  if (contenders.length === 0) return;
  console.log(`\n## ${section.title}\n\n${rounds} × ${contenders.length} runs${values.quick ? ', QUICK' : ''}`);
  const measure = ({ spec, peer }: Contender) =>
    measureInChild(values.quick ? shrink(spec, 100) : spec, peer, { limit, folder });
  const runs = await inRounds(contenders, rounds, measure, (contender, round, run) => {
    // One line per run on stderr, so that the tables can be kept without them.
    console.error(`  round ${round}  ${contender.name}: ${tellFigures(run)}`);
    broken ||= run instanceof Error;
  });
  const medians = new Map<string, Figures>();
  for (const [name, its] of runs) if (its.length > 0) medians.set(name, summarise(its));
  if (medians.size > 0) console.log(`\n${formatTable(section.columns, medians, section.reference)}`);
  for (const line of section.verdicts(medians)) console.log(`- ${line}`);
}

/** The rows that need the peer. */
function rowsOf(peer: string): string[] {
  const rows = chosen.flatMap(({ contenders }) => contenders.filter((contender) => contender.peer === peer));
  return [...new Set(rows.map(({ name }) => name))];
}

function isWanted(name: string): boolean {
  return !begins || begins.some((start) => name.startsWith(start));
}
