/**
 * What is compared with what, and what we want of it: the table of targets, as code.
 *
 *   accept     the door alone: payloads made durable, nothing delivered
 *   processes  the same by two processes, against the article's handler in Go on both cores
 *   headline   the whole way: durable, in batches of 2,000 to S3, for a minute
 *   single     the whole way, one object per payload
 *   slowdown   a store that takes 32 objects at once and answers SlowDown beyond
 *   attempts   the article's three attempts in both runtimes, and what a kill loses; ours beside them
 */
import { atLeast, atMost, whole } from '../table.ts';
import { attemptHere, attemptInGo, bare, type Contender, goVersion, millrace } from './contenders.ts';
import type { Run } from './measure.ts';

export interface Section {
  readonly title: string;
  /** Length of a run. */
  readonly seconds: number;
  contenders(): readonly Contender[];
  /** The contender that ratios refer to. */
  readonly reference?: string;
  /** Ends every run by SIGKILL, and looks for what is missing after a restart. */
  readonly kill?: boolean;
  /** Sentences about the targets, from the medians. */
  verdicts(medians: ReadonlyMap<string, Run>): string[];
}

const MILLION_A_MINUTE = 1_000_000 / 60;
const BATCHES = ['--batch', '2000', '--compress', 'gzip'];
/** Objects that the store of `slowdown` takes at once, and how long each takes, ms. */
const KNEE = 32;
const STORE_LATENCY = 20;
/** How long an upload takes in `attempts`, ms. */
const UPLOAD = 50;

const goContender = (contender: () => Contender) => (goVersion() ? [contender()] : []);

export const sections: Readonly<Record<string, Section>> = {
  accept: {
    title: 'Durable accept, one process',
    seconds: 10,
    contenders: () => [
      bare,
      millrace('millrace memory', { backend: 'memory' }),
      millrace('millrace sqlite', { backend: 'sqlite' }),
    ],
    reference: bare.name,
    verdicts: (runs) => [
      atLeast('durable ÷ bare node:http', ratio(runs, 'millrace sqlite', bare.name), 0.9),
      atMost('p99, ms', runs.get('millrace sqlite')?.p99, 50),
    ],
  },

  processes: {
    title: 'Durable accept, two processes',
    seconds: 10,
    contenders: () => [
      ...goContender(() => attemptInGo('article in Go', { attempt: 3, upload: 0 })),
      millrace('millrace sqlite × 2', { backend: 'sqlite', flags: ['--processes', '2'] }),
    ],
    reference: 'article in Go',
    verdicts: (runs) => [atLeast('durable ÷ Go in memory', ratio(runs, 'millrace sqlite × 2', 'article in Go'), 1)],
  },

  headline: {
    title: 'End to end: durable, batches of 2,000, gzip, to S3',
    seconds: 60,
    contenders: () => [
      millrace('millrace memory', { backend: 'memory', sink: [], flags: BATCHES }),
      millrace('millrace sqlite', { backend: 'sqlite', sink: [], flags: BATCHES }),
    ],
    reference: 'millrace memory',
    verdicts: (runs) => [
      atLeast('requests per second', runs.get('millrace sqlite')?.acceptedPerSecond, MILLION_A_MINUTE),
      atLeast('durable ÷ memory', ratio(runs, 'millrace sqlite', 'millrace memory'), 0.9),
      ...Array.from(
        runs,
        ([name, run]) =>
          `${name}: waiting at half time ${whole(run.backlog?.middle)}, at the end ${whole(run.backlog?.end)}`,
      ),
    ],
  },

  single: {
    title: 'End to end: one object per payload',
    seconds: 20,
    contenders: () => [millrace('millrace sqlite', { backend: 'sqlite', sink: [], maxQueue: 20_000 })],
    verdicts: (runs) => [atLeast('PUT per second', runs.get('millrace sqlite')?.uploadedPerSecond, 3400)],
  },

  slowdown: {
    title: `A store with a knee at ${KNEE} objects at once`,
    seconds: 30,
    contenders: () => [slowStore('fixed at the knee', KNEE), slowStore('adaptive, up to 256', 256)],
    reference: 'fixed at the knee',
    verdicts: (runs) => {
      const adaptive = runs.get('adaptive, up to 256');
      const fixed = runs.get('fixed at the knee');
      return [
        atMost('SlowDown answers after 10 s, %', adaptive?.slowDowns && adaptive.slowDowns * 100, 1),
        atLeast('uploaded ÷ best fixed', (adaptive?.uploadedPerSecond ?? 0) / (fixed?.uploadedPerSecond ?? 0), 0.9),
      ];
    },
  },

  attempts: {
    title: `The article's three attempts, uploads of ${UPLOAD} ms, ended by SIGKILL`,
    seconds: 15,
    kill: true,
    contenders: () => [
      ...([1, 2, 3] as const).flatMap((attempt) => [
        ...goContender(() => attemptInGo(`attempt ${attempt} in Go`, { attempt, upload: UPLOAD })),
        attemptHere(`attempt ${attempt} here`, { attempt, upload: UPLOAD }),
      ]),
      millrace('millrace sqlite', { backend: 'sqlite', sink: ['--latency', String(UPLOAD)], flags: BATCHES }),
    ],
    verdicts: (runs) =>
      Array.from(runs, ([name, run]) => `${name}: a kill lost ${whole(run.missing)} payloads that were answered 200`),
  },
};

function slowStore(name: string, workers: number): Contender {
  return millrace(name, {
    backend: 'sqlite',
    sink: ['--latency', String(STORE_LATENCY), '--knee', String(KNEE)],
    maxQueue: 20_000,
    flags: ['--max-workers', String(workers)],
  });
}

function ratio(runs: ReadonlyMap<string, Run>, name: string, reference: string): number | undefined {
  const [one, other] = [runs.get(name), runs.get(reference)];
  return one && other && one.acceptedPerSecond / other.acceptedPerSecond;
}
