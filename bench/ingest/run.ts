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
import { cpus, release, totalmem } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { goVersion } from './contenders.ts';
import { inRounds, type Run, type RunOptions } from './measure.ts';
import { type Section, sections } from './sections.ts';
import { formatTable, type Summary, summarise } from './table.ts';

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

printMachine();
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
  const runs = await inRounds(section.contenders(), rounds, options, (contender, round, run) => {
    // One line per run on stderr, so that the tables can be kept without them.
    const outcome = run instanceof Error ? `FAILED: ${run.message}` : `${Math.round(run.acceptedPerSecond)}/s`;
    console.error(`  round ${round}  ${contender.name}: ${outcome}`);
    broken ||= run instanceof Error || isBroken(run);
  });
  const summaries = Array.from(runs, ([name, its]): Summary => summarise(name, its)).filter(({ runs }) => runs > 0);
  console.log(`\n${formatTable(summaries, section.reference)}`);
  for (const line of section.verdicts(new Map(summaries.map((summary) => [summary.name, summary.median])))) {
    console.log(`- ${line}`);
  }
}

/** The article's handlers lose payloads by design; that is what their row shows. */
function isBroken(run: Run): boolean {
  return run.twice !== undefined && (run.missing ?? 0) + run.twice + (run.stray ?? 0) > 0;
}

function printMachine(): void {
  const [cpu] = cpus();
  console.log(`${cpus().length} × ${cpu?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`);
  console.log(`Node ${process.version}, ${goVersion() ?? 'Go is not installed: its rows are not run'}`);
}
