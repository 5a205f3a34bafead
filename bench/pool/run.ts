/**
 * The pool bench: Millrace's pool beside everybody else's, and beside none.
 *
 *   npm run bench:pool                            every section, about 20 minutes
 *   npm run bench:pool -- backlog threads         these sections
 *   npm run bench:pool -- --only millrace,bare    contenders whose names begin like that
 *   npm run bench:pool -- --quick                 a hundredth of the jobs, one round: does everything run? Figures mean nothing
 *
 *   --rounds N   runs per contender, taking turns; the table shows medians. Default 5
 *   --limit N    seconds a run may take, after which it is killed and its contender sits out. Default 120
 *
 * Peers are installed into bench/pool/node_modules on the first run. Where that fails their rows are left out, and it
 * says so. Every run is a process of its own.
 *
 * Exits with 1 when a run failed: a pool that lost a job, threw, or was not done in time. A missed target is printed, and
 * is no failure.
 */
import { parseArgs } from 'node:util';
import { machine } from '../machine.ts';
import { inRounds } from '../rounds.ts';
import { formatTable } from '../table.ts';
import { type Figures, summarise, tellFigures } from './figures.ts';
import { measureInChild } from './measure.ts';
import { installPeers, versionOf } from './peers.ts';
import { type Contender, type Section, sections, shrink } from './sections.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    limit: { type: 'string', default: '120' },
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});
const unknown = positionals.find((name) => !(name in sections));
if (unknown) {
  console.error(`bench: no section "${unknown}"; there are: ${Object.keys(sections).join(', ')}`);
  process.exit(2);
}
const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
const limit = Number(values.limit) * 1000;
const begins = values.only?.split(',');

const chosen = (positionals.length > 0 ? positionals : Object.keys(sections))
  .flatMap((name) => sections[name] ?? [])
  .map((section) => ({ section, contenders: section.contenders.filter(({ name }) => isWanted(name)) }));
const peers = new Set(chosen.flatMap(({ contenders }) => contenders.flatMap(({ peer }) => peer ?? [])));

if (peers.size > 0 && !installPeers()) console.error('bench: rows of peers that are not installed are left out');
console.log(machine());
console.log([`Node ${process.version}`, ...Array.from(peers).sort().map(nameAndVersion)].join(', '));
let broken = false;
for (const { section, contenders } of chosen) {
  const present = contenders.filter(({ peer }) => !peer || versionOf(peer));
  if (present.length > 0) await runSection(section, present);
}
process.exitCode = broken ? 1 : 0;

async function runSection(section: Section, contenders: readonly Contender[]): Promise<void> {
  console.log(`\n## ${section.title}\n\n${rounds} × ${contenders.length} runs${values.quick ? ', QUICK' : ''}`);
  const measure = ({ spec }: Contender) => measureInChild(values.quick ? shrink(spec, 100) : spec, limit);
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

function isWanted(name: string): boolean {
  return !begins || begins.some((start) => name.startsWith(start));
}

function nameAndVersion(peer: string): string {
  return `${peer} ${versionOf(peer) ?? '(not installed)'}`;
}
