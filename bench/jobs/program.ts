/**
 * The program that every bench of job systems is: it reads the command line, sees to the peers, runs the sections and prints
 * their tables. What its options mean is said by the files that call it.
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
import { describePeer, installPeer } from './peers.ts';
import { redisVersion } from './redis.ts';
import { type Contender, type Section, sentence, shrink, type Target, targetColumns } from './sections.ts';

const NO_REDIS =
  'no redis-server on the PATH (apt-get install redis-server, and let its service be: the bench starts its own)';

/**
 * @param sections by the names that the command line has for them; `large` is `--large`
 * @param store what to say of Node's own, like `(SQLite 3.53.4)`
 */
export async function runBench(
  sections: (large: boolean) => Readonly<Record<string, Section>>,
  store = '',
): Promise<void> {
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
    process.exitCode = 2;
    return;
  }
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 3));
  const limit = Number(values.limit) * 1000;
  const folder = resolve(values.folder);
  mkdirSync(folder, { recursive: true });
  const begins = values.only?.split(',');
  const isWanted = (name: string) => !begins || begins.some((start) => name.startsWith(start));

  const chosen = (positionals.length > 0 ? positionals : Object.keys(all))
    .map((name) => ({ name, section: all[name] as Section }))
    .map((its) => ({ ...its, contenders: its.section.contenders.filter(({ name }) => isWanted(name)) }));
  const everybody = chosen.flatMap(({ contenders }) => contenders);
  const redis = everybody.some(({ spec }) => spec.server === 'redis') ? redisVersion() : undefined;
  /** Peers that are not there, and why. */
  const missing = new Map<string, string>();
  const wanted = new Set(everybody.flatMap(({ peer }) => peer ?? []));
  for (const peer of wanted) {
    const reason = installPeer(peer);
    if (reason) missing.set(peer, reason);
  }
  const whyNot = ({ peer, spec }: Contender) =>
    spec.server === 'redis' && redis === undefined ? NO_REDIS : missing.get(peer ?? '');

  console.log(machine());
  const present = [...wanted].filter((peer) => !missing.has(peer)).map(describePeer);
  const servers = redis === undefined ? [] : [`redis-server ${redis}`];
  console.log([`Node ${process.version}${store && ` ${store}`}`, ...servers, ...present].join(', '));
  const reasons = Map.groupBy(everybody, whyNot);
  reasons.delete(undefined);
  for (const [reason, rows] of reasons) {
    console.log(`NOT RUN: ${[...new Set(rows.map(({ name }) => name))].join('; ')}: ${reason}`);
  }

  const targets = new Map<string, Target>();
  let broken = false;
  for (const { name, section, contenders } of chosen) {
    await runSection(
      name,
      section,
      contenders.filter((contender) => whyNot(contender) === undefined),
    );
  }
  if (targets.size > 0) console.log(`\n## Targets\n\n${formatTable(targetColumns, targets)}`);
  process.exitCode = broken ? 1 : 0;

  async function runSection(name: string, section: Section, contenders: readonly Contender[]): Promise<void> {
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
    for (const [row, its] of runs) if (its.length > 0) medians.set(row, summarise(its));
    if (medians.size > 0) console.log(`\n${formatTable(section.columns, medians, section.reference)}`);
    for (const target of section.targets(medians)) {
      console.log(`- ${sentence(target)}`);
      targets.set(`${name}: ${target.what}`, target);
    }
  }
}
