/**
 * What is compared with what, and what we want of it: the table of targets, as code.
 *
 *   backlog     500,000 jobs at once into a pool of functions
 *   steady      64 loops that await each submit
 *   fan-in      a generator in, results out
 *   memory      bytes per waiting job; linear: time per job by length of the queue; cancel: time per cancelled job
 *   threads     200,000 additions for two threads
 *   objects     the same with objects of 220 bytes
 *   round-trip  one addition at a time
 *   cpu         tasks that compute for 5 ms
 *   abort       from the abort of a running task to the answer of the next
 */
import { atLeast, atMost, type Column, figure } from '../table.ts';
import { best, column, type Figures, ratio, ratioColumn, type Spec } from './figures.ts';

type Medians = ReadonlyMap<string, Figures>;

export interface Contender {
  readonly name: string;
  /** The package it needs, when it is not ours or Node's. */
  readonly peer?: string;
  readonly spec: Spec;
}

export interface Section {
  readonly title: string;
  readonly contenders: readonly Contender[];
  readonly columns: readonly Column<Figures>[];
  /** The row that ratios refer to. */
  readonly reference?: string;
  /** Sentences about the targets, from the medians. */
  verdicts(medians: Medians): string[];
}

const MANY = 500_000;
const LONG = 1_000_000;
const THREADS = 2;
const TASKS = 200_000;

const rate = column('jobs/s', 'perSecond');
const jobs = column('jobs', 'jobs');

const row = (name: string, spec: Spec, peer?: string): Contender => (peer ? { name, peer, spec } : { name, spec });

/** Rows of peers are rivals; bare Node and Millrace are not. */
const rivals = (contenders: readonly Contender[]) => contenders.filter(({ peer }) => peer).map(({ name }) => name);

const backlog = (pool: string, count = MANY): Spec => ({ measure: 'backlog', pool, jobs: count });
const steady = (pool: string, count = MANY): Spec => ({ measure: 'steady', pool, jobs: count });
const fanIn = (pool: string): Spec => ({ measure: 'fan-in', pool, jobs: MANY });

const backlogs: Section = {
  title: 'Backlog: no-op jobs all at once, 16 run, a promise each',
  contenders: [
    row('bare, all at once', backlog('bare')),
    row('millrace', backlog('millrace')),
    row('fastq.promise', backlog('fastq.promise'), 'fastq'),
    row('p-limit', backlog('p-limit'), 'p-limit'),
    row('async.queue (callbacks)', backlog('async'), 'async'),
    // Fewer: their time per job grows with the queue, or is some ms.
    row('p-queue', backlog('p-queue', 50_000), 'p-queue'),
    row('cockatiel', backlog('cockatiel', 10_000), 'cockatiel'),
    row('bottleneck', backlog('bottleneck', 2_000), 'bottleneck'),
  ],
  columns: [jobs, rate, ratioColumn('perSecond')],
  reference: 'fastq.promise',
  verdicts: (medians) => {
    const rival = best(medians, ['fastq.promise', 'p-limit', 'p-queue'], 'perSecond');
    const ours = medians.get('millrace')?.perSecond;
    return [atLeast('millrace ÷ best of fastq.promise, p-limit, p-queue', ratio(ours, rival), 2.5)];
  },
};

const steadies: Section = {
  title: 'Steady: 64 loops that await each submit, 16 run',
  contenders: [
    row('bare, 64 loops', steady('bare')),
    row('bare, one loop', { ...steady('bare'), settings: { loops: 1 } }),
    row('millrace', steady('millrace')),
    row('fastq.promise', steady('fastq.promise'), 'fastq'),
    row('p-limit', steady('p-limit'), 'p-limit'),
    row('async.queue', steady('async'), 'async'),
    row('p-queue', steady('p-queue', 100_000), 'p-queue'),
    row('cockatiel', steady('cockatiel'), 'cockatiel'),
    row('bottleneck', steady('bottleneck', 2_000), 'bottleneck'),
  ],
  columns: [jobs, rate, ratioColumn('perSecond')],
  reference: 'fastq.promise',
  verdicts: (medians) => {
    const ours = medians.get('millrace')?.perSecond;
    const bare = best(medians, ['bare, 64 loops', 'bare, one loop'], 'perSecond');
    return [
      atLeast('millrace ÷ fastq.promise', ratio(ours, medians.get('fastq.promise')?.perSecond), 1),
      atLeast('millrace ÷ the faster bare loop', ratio(ours, bare), 0.35),
    ];
  },
};

const fanIns: Section = {
  title: 'Fan-in: a generator of numbers in, 16 run, every result read',
  contenders: [
    row('bare loop', fanIn('bare')),
    row('millrace run()', fanIn('millrace')),
    row('millrace run(), ordered', fanIn('millrace ordered')),
    row('pMapIterable', fanIn('p-map iterable'), 'p-map'),
    row('pMap (an array)', fanIn('p-map'), 'p-map'),
  ],
  columns: [jobs, column('results/s', 'perSecond'), ratioColumn('perSecond')],
  reference: 'pMapIterable',
  verdicts: (medians) =>
    ['millrace run()', 'millrace run(), ordered'].flatMap((name) => {
      const ours = medians.get(name)?.perSecond;
      const rival = medians.get('pMapIterable')?.perSecond;
      return [
        atLeast(`${name}, million results/s`, ours && ours / 1e6, 1.5),
        atLeast(`${name} ÷ pMapIterable`, ratio(ours, rival), 3),
      ];
    }),
};

const memory = (pool: string, count = LONG): Spec => ({ measure: 'memory', pool, jobs: count });

const memories: Section = {
  title: 'Memory: bytes of heap per waiting job, its promise included',
  contenders: [
    row('millrace', memory('millrace')),
    row('fastq.promise', memory('fastq.promise'), 'fastq'),
    row('p-limit', memory('p-limit'), 'p-limit'),
    row('async.queue', memory('async'), 'async'),
    row('p-queue', memory('p-queue'), 'p-queue'),
    row('cockatiel', memory('cockatiel'), 'cockatiel'),
    row('bottleneck', memory('bottleneck', 100_000), 'bottleneck'),
  ],
  columns: [jobs, column('bytes/job', 'bytes'), column('with a tenth of them', 'bytesAtTenth')],
  verdicts: (medians) => [
    atMost('millrace, bytes per waiting job', best(medians, ['millrace'], 'bytes'), 400),
    atMost('the same with a tenth of the jobs', best(medians, ['millrace'], 'bytesAtTenth'), 400),
  ],
};

const growing: readonly Column<Figures>[] = [
  jobs,
  column('ns/job', 'ns'),
  column('with a tenth', 'nsAtTenth'),
  column('with a hundredth', 'nsAtHundredth'),
  column('growth', 'growth', figure),
];
/** A hundred times the queue may cost this much more per job: caches and the collector. What is not O(1) makes it 100. */
const GROWTH = 3;

const linear = (pool: string, count = LONG): Spec => ({ measure: 'linear', pool, jobs: count });

const linears: Section = {
  title: 'Linearity: time per job, submit to end, by number of jobs at once',
  contenders: [
    row('millrace', linear('millrace')),
    row('fastq.promise', linear('fastq.promise'), 'fastq'),
    row('p-limit', linear('p-limit'), 'p-limit'),
    row('async.queue (callbacks)', linear('async'), 'async'),
    row('p-queue', linear('p-queue', 100_000), 'p-queue'),
  ],
  columns: growing,
  verdicts: (medians) => [
    atMost('millrace, time per job with all ÷ with a hundredth', medians.get('millrace')?.growth, GROWTH),
  ],
};

const cancel = (pool: string, count = LONG): Spec => ({ measure: 'cancel', pool, jobs: count });

const cancels: Section = {
  title: 'Cancel: a tenth of the waiting jobs aborted in random order, each by its own signal',
  contenders: [row('millrace', cancel('millrace')), row('p-queue', cancel('p-queue', 20_000), 'p-queue')],
  columns: [column('jobs waiting', 'jobs'), ...growing.slice(1)],
  verdicts: (medians) => [
    atMost('millrace, time per cancel with all ÷ with a hundredth', medians.get('millrace')?.growth, GROWTH),
  ],
};

/** The pools of threads in every setting that may be their best; the rivals get fewer tasks because they take longer. */
function threadRivals(base: Omit<Spec, 'pool' | 'settings'>): Contender[] {
  const using = (pool: string, settings: Readonly<Record<string, unknown>> = {}): Spec => ({ ...base, pool, settings });
  const untimed = { recordTiming: false };
  return [
    row('piscina', using('piscina'), 'piscina'),
    ...[16, 64].flatMap((concurrentTasksPerWorker) =>
      ['sync', 'async', 'disabled'].map((atomics) =>
        row(
          `piscina, ${concurrentTasksPerWorker} per thread, atomics ${atomics}`,
          using('piscina', { concurrentTasksPerWorker, atomics, ...untimed }),
          'piscina',
        ),
      ),
    ),
    row('tinypool', using('tinypool'), 'tinypool'),
    row('tinypool, 16 per thread', using('tinypool', { concurrentTasksPerWorker: 16 }), 'tinypool'),
    row('tinypool, 64 per thread', using('tinypool', { concurrentTasksPerWorker: 64 }), 'tinypool'),
    row(
      'tinypool, 64 per thread, no atomics',
      using('tinypool', { concurrentTasksPerWorker: 64, useAtomics: false }),
      'tinypool',
    ),
    row('workerpool', using('workerpool'), 'workerpool'),
    row('poolifier', using('poolifier'), 'poolifier'),
    row(
      'poolifier, queue of 64 per thread',
      using('poolifier', { enableTasksQueue: true, tasksQueueOptions: { concurrency: 64 } }),
      'poolifier',
    ),
  ];
}

const threadColumns = [jobs, rate, ratioColumn('perSecond'), column('CPU µs/job', 'cpu', figure)];
const onThreads = (task: string, count: number) => ({ measure: 'threads', task, jobs: count, threads: THREADS });

const additions = onThreads('add', TASKS);
const threadsContenders = [
  row('bare, a post each', { ...additions, pool: 'bare' }),
  row('bare, batches of 16', { ...additions, pool: 'bare', settings: { batch: 16 } }),
  row('bare, batches of 64', { ...additions, pool: 'bare', settings: { batch: 64 } }),
  row('millrace', { ...additions, pool: 'millrace' }),
  ...threadRivals(onThreads('add', TASKS / 4)),
];

const threads: Section = {
  title: 'Threads: small tasks all at once, two threads',
  contenders: threadsContenders,
  columns: threadColumns,
  reference: 'bare, batches of 64',
  verdicts: (medians) => {
    const ours = medians.get('millrace')?.perSecond;
    return [
      atLeast('millrace ÷ the best rival', ratio(ours, best(medians, rivals(threadsContenders), 'perSecond')), 5),
      atLeast('millrace ÷ bare, batches of 64', ratio(ours, medians.get('bare, batches of 64')?.perSecond), 0.5),
    ];
  },
};

const objects = onThreads('object', TASKS);
const acknowledged = onThreads('acknowledge', TASKS);
const objectsContenders = [
  row('bare, batches of 64', { ...objects, pool: 'bare', settings: { batch: 64 } }),
  row('bare, batches of 64, acknowledged', {
    ...acknowledged,
    pool: 'bare',
    settings: { batch: 64, acknowledge: true },
  }),
  row('millrace', { ...objects, pool: 'millrace' }),
  row('millrace, a number back', { ...acknowledged, pool: 'millrace' }),
  ...threadRivals(onThreads('object', TASKS / 4)),
];

const objectsSection: Section = {
  title: 'Objects: 220 bytes there and back, all at once, two threads',
  contenders: objectsContenders,
  columns: threadColumns,
  reference: 'bare, batches of 64',
  verdicts: (medians) => {
    const rival = best(medians, rivals(objectsContenders), 'perSecond');
    return [atLeast('millrace ÷ the best rival', ratio(medians.get('millrace')?.perSecond, rival), 3)];
  },
};

const trip = { measure: 'round-trip', task: 'add', jobs: 20_000, threads: 1 };

const roundTrips: Section = {
  title: 'Round trip: one small task at a time, one thread',
  contenders: [
    row('bare postMessage', { ...trip, pool: 'bare' }),
    row('millrace', { ...trip, pool: 'millrace' }),
    row('piscina', { ...trip, pool: 'piscina' }, 'piscina'),
    row('piscina, atomics disabled', { ...trip, pool: 'piscina', settings: { atomics: 'disabled' } }, 'piscina'),
    row('tinypool', { ...trip, pool: 'tinypool' }, 'tinypool'),
    row('workerpool', { ...trip, pool: 'workerpool' }, 'workerpool'),
    row('poolifier', { ...trip, pool: 'poolifier' }, 'poolifier'),
  ],
  columns: [jobs, column('p50 µs', 'p50', figure), column('p99 µs', 'p99', figure)],
  verdicts: (medians) => [
    atMost('millrace p50 ÷ bare p50', ratio(medians.get('millrace')?.p50, medians.get('bare postMessage')?.p50), 1.3),
  ],
};

const spin = { measure: 'cpu', task: 'spin', jobs: 400, threads: THREADS };

const cpu: Section = {
  title: 'CPU: tasks that compute for about 5 ms, two threads',
  contenders: [
    row('bare, one thread', { ...spin, pool: 'bare', jobs: spin.jobs / 2, threads: 1, settings: { window: 2 } }),
    row('bare, two threads', { ...spin, pool: 'bare', settings: { window: 2 } }),
    row('millrace', { ...spin, pool: 'millrace' }),
    row('piscina', { ...spin, pool: 'piscina' }, 'piscina'),
    row('tinypool', { ...spin, pool: 'tinypool' }, 'tinypool'),
    row('workerpool', { ...spin, pool: 'workerpool' }, 'workerpool'),
    row('poolifier', { ...spin, pool: 'poolifier' }, 'poolifier'),
  ],
  columns: [jobs, column('jobs/s', 'perSecond', figure), column('ms/task', 'msPerTask', figure)],
  verdicts: (medians) => {
    const [one, two, ours] = ['bare, one thread', 'bare, two threads', 'millrace'].map(
      (name) => medians.get(name)?.perSecond,
    );
    return [
      atLeast('millrace ÷ (2 × one bare thread)', ratio(ours, one && THREADS * one), 0.95),
      `two bare threads ÷ (2 × one): ${figure(ratio(two, one && THREADS * one) ?? Number.NaN)} is what the machine gives`,
    ];
  },
};

const aborted = (pool: string, task: string): Spec => ({ measure: 'abort', pool, task, jobs: 20, threads: 1 });

const aborts: Section = {
  title: 'Abort: from the abort of a running task to the answer of the next, one thread',
  contenders: [
    row('millrace, the task listens', aborted('millrace', 'listens')),
    row('millrace, the task polls', aborted('millrace', 'polls')),
    row('millrace, the task is deaf', aborted('millrace', 'deaf')),
    row('piscina, the task is deaf', aborted('piscina', 'deaf'), 'piscina'),
    row('tinypool, the task is deaf', aborted('tinypool', 'deaf'), 'tinypool'),
    row('workerpool, the task listens', aborted('workerpool', 'listens'), 'workerpool'),
    // It waits for a second, twice: fewer aborts, and a row with the shortest wait it can be told.
    row('workerpool, the task is deaf', { ...aborted('workerpool', 'deaf'), jobs: 4 }, 'workerpool'),
    row(
      'workerpool, deaf, no patience',
      { ...aborted('workerpool', 'deaf'), settings: { workerTerminateTimeout: 1 } },
      'workerpool',
    ),
    // poolifier rejects the promise and lets the body run on: there is nothing to time.
  ],
  columns: [column('aborts', 'jobs'), column('p50 ms', 'ms', figure), column('worst ms', 'msWorst', figure)],
  verdicts: (medians) => [
    atMost('millrace listens, ms', medians.get('millrace, the task listens')?.ms, 5),
    atMost('millrace polls, ms', medians.get('millrace, the task polls')?.ms, 5),
    atMost('millrace deaf, ms', medians.get('millrace, the task is deaf')?.ms, 50),
  ],
};

/** `memory` is three tables. */
export const sections: Readonly<Record<string, readonly Section[]>> = {
  backlog: [backlogs],
  steady: [steadies],
  'fan-in': [fanIns],
  memory: [memories, linears, cancels],
  threads: [threads],
  objects: [objectsSection],
  'round-trip': [roundTrips],
  cpu: [cpu],
  abort: [aborts],
};

/** The spec for a quick look. */
export function shrink(spec: Spec, by: number): Spec {
  return { ...spec, jobs: Math.max(Math.min(spec.jobs, 4), Math.round(spec.jobs / by)) };
}
