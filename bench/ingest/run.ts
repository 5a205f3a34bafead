/**
 * The ingest bench: how many payloads get in, how many get out, and whether any got lost.
 *
 *   npm run bench:ingest                             every section, about 15 minutes
 *   npm run bench:ingest -- accept headline          these sections
 *   npm run bench:ingest -- --seconds 3 --rounds 1   a quick look; the figures mean little
 *
 *   --seconds N      length of a run, after 2 s of warm-up. Default: the section's own, 10 to 60
 *   --rounds N       runs per contender, interleaved; the table shows medians. Default 3, 1 for runs of 60 s
 *   --connections N  keep-alive connections of the load. Default 64
 *   --folder DIR     where databases go; on a real disk. Default ./millrace-data/bench
 *
 * Every run starts the contender in an empty folder, with the load (and the sink, where there is one) in processes of their
 * own on the same machine. They share its cores with what is measured, so ratios within one table mean something and
 * figures of two machines do not compare. After a run with a sink, every number that was posted is looked up in what was
 * stored: accepted means there exactly once, refused means not there.
 *
 * Exits with 1 when a payload is missing, doubled or stray, or a run failed. A missed target is printed, and is no failure.
 */
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { machine } from '../machine.ts';
import { inRounds } from '../rounds.ts';
import { formatTable } from '../table.ts';
import { type Contender, goVersion } from './contenders.ts';
import { type Run, type RunOptions, runOnce } from './measure.ts';
import { type Section, sections } from './sections.ts';
import { columns, type Summary, summarise } from './table.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string' },
    rounds: { type: 'string' },
    connections: { type: 'string', default: '64' },
    folder: { type: 'string', default: './millrace-data/bench' },
  },
});
const unknown = positionals.find((name) => !(name in sections));
if (unknown) {
  console.error(`bench: no section "${unknown}"; there are: ${Object.keys(sections).join(', ')}`);
  process.exit(2);
}
const folder = resolve(values.folder);
mkdirSync(folder, { recursive: true });

console.log(machine());
console.log(`Node ${process.version}, ${goVersion() ?? 'Go is not installed: its rows are not run'}`);
let broken = false;
for (const name of positionals.length > 0 ? positionals : Object.keys(sections)) {
  await runSection(sections[name] as Section);
}
process.exitCode = broken ? 1 : 0;

async function runSection(section: Section): Promise<void> {
  const seconds = Number(values.seconds ?? section.seconds);
  const rounds = Number(values.rounds ?? (seconds >= 60 ? 1 : 3));
  const connections = Number(values.connections);
  console.log(`\n## ${section.title}\n\n${rounds} × ${seconds} s per row, ${connections} connections`);
  const options: RunOptions = { seconds, connections, folder, kill: section.kill ?? false };
  const measure = (contender: Contender) => runOnce(contender, options);
  const runs = await inRounds(section.contenders(), rounds, measure, (contender, round, run) => {
    // One line per run on stderr, so that the tables can be kept without them.
    const outcome = run instanceof Error ? `FAILED: ${run.message}` : `${Math.round(run.acceptedPerSecond)}/s`;
    console.error(`  round ${round}  ${contender.name}: ${outcome}`);
    broken ||= run instanceof Error || isBroken(run);
  });
  const summaries = Array.from(runs, ([name, its]): Summary => summarise(name, its)).filter(({ runs }) => runs > 0);
  const medians = new Map(summaries.map((summary) => [summary.name, summary.median]));
  console.log(`\n${formatTable(columns, medians, section.reference)}`);
  for (const line of section.verdicts(medians)) console.log(`- ${line}`);
}

/** The article's handlers lose payloads by design; that is what their row shows. */
function isBroken(run: Run): boolean {
  return run.twice !== undefined && (run.missing ?? 0) + run.twice + (run.stray ?? 0) > 0;
}
