/**
 * What a pool and its submissions were told, checked and completed.
 *
 * Throws OPTION_INVALID for a value, OPTION_UNKNOWN for a name: an option that is not understood is not passed over.
 */
import { systemClock } from '../clock.ts';
import { assertKnown, assertOption, isError } from '../errors.ts';
import { PRIORITIES } from './lanes.ts';
import type { RateLimit } from './limits/rate.ts';
import type {
  CloseOptions,
  GroupOptions,
  PoolOptions,
  QueueOptions,
  RunOptions,
  SubmitOptions,
  Verdict,
  WorkerFunction,
} from './options.ts';
import type { Handler, Outcome, TaskSettings } from './task.ts';

export type ResolvedOptions = Required<
  Omit<PoolOptions, 'rate' | 'queueTimeout' | 'timeout' | 'perKey' | 'queue' | 'worker'>
> & {
  readonly queue: Required<QueueOptions>;
  readonly perKey: (key: string) => number;
  readonly rate: RateLimit | undefined;
  /** Outcomes are classified. */
  readonly learns: boolean;
  /** The worker, if it is a function. */
  readonly handler: Handler | undefined;
  /** The worker, if it is a module that runs in threads. */
  readonly module: URL | undefined;
  /** Every task's times are taken. */
  readonly timed: boolean;
  readonly defaults: Omit<TaskSettings, 'owner' | 'handler'>;
};

const POLICIES: readonly string[] = ['wait', 'reject', 'drop-oldest', 'drop-newest', 'caller-runs'];
const NEVER = Number.POSITIVE_INFINITY;

type Names<Options> = { readonly [Name in keyof Required<Options>]: true };

const POOL: Names<PoolOptions> = {
  worker: true,
  threads: true,
  workers: true,
  queue: true,
  perKey: true,
  rate: true,
  queueTimeout: true,
  timeout: true,
  onTimeout: true,
  classify: true,
  stuckAfter: true,
  histograms: true,
  name: true,
  clock: true,
};
const QUEUE: Names<QueueOptions> = { size: true, whenFull: true, ageing: true, order: true };
const SUBMIT: Names<SubmitOptions> = {
  signal: true,
  priority: true,
  key: true,
  weight: true,
  bytes: true,
  queueTimeout: true,
  timeout: true,
  transfer: true,
  onMessage: true,
};
const RUN: Names<RunOptions> = { signal: true, ordered: true, failFast: true, each: true };
const GROUP: Names<GroupOptions> = { signal: true, failFast: true };
const CLOSE: Names<CloseOptions> = { deadline: true };

export function resolveOptions(options: PoolOptions<WorkerFunction | undefined>): ResolvedOptions {
  assertKnown(options, POOL);
  if (options.queue !== undefined) assertKnown(options.queue, QUEUE, 'queue');
  const { workers, rate, name = 'pool', histograms = false, clock = systemClock } = options;
  const { classify = byTimeout, stuckAfter = NEVER, perKey = 1, onTimeout = 'hold' } = options;
  const { size = 1_000, whenFull = 'wait', ageing = 1_000, order = 'fifo' } = options.queue ?? {};
  if (typeof workers === 'number') assertWorkers(workers);
  else assertOption('workers', workers, typeof workers?.sample === 'function', 'an integer from 1, or a limit');
  assertOption('queue.size', size, Number.isSafeInteger(size) && size >= 0, 'an integer from 0');
  assertOption('queue.whenFull', whenFull, POLICIES.includes(whenFull), `one of ${POLICIES.join(', ')}`);
  assertOption('queue.ageing', ageing, ageing === NEVER || isCount(ageing), 'an integer from 1, or Infinity');
  assertOption('queue.order', order, order === 'fifo' || order === 'lifo', "'fifo' or 'lifo'");
  assertOption('perKey', perKey, typeof perKey === 'function' || isCount(perKey), 'an integer from 1, or a function');
  assertOption('rate', rate, rate === undefined || typeof rate?.take === 'function', 'a rate limit');
  assertOption('rate', rate, rate === undefined || whenFull !== 'caller-runs', "left out with 'caller-runs'");
  assertOption('onTimeout', onTimeout, onTimeout === 'hold' || onTimeout === 'release', "'hold' or 'release'");
  assertOption('classify', classify, typeof classify === 'function', 'a function');
  assertOption('stuckAfter', stuckAfter, isDelay(stuckAfter), 'ms from 1');
  assertOption('histograms', histograms, typeof histograms === 'boolean', 'true or false');
  assertOption('name', name, typeof name === 'string', 'a string');
  assertOption('clock', clock, typeof clock?.timer === 'function', 'a clock');
  const { worker, threads } = options;
  const module = worker instanceof URL ? worker : undefined;
  assertOption(
    'worker',
    worker,
    worker === undefined || module !== undefined || typeof worker === 'function',
    'a function or a URL',
  );
  if (module) checkForThreads(options);
  else assertOption('threads', threads, threads === undefined, 'given only with a module as `worker`');
  const defaults: ResolvedOptions['defaults'] = {
    priority: 4,
    key: undefined,
    keyLimit: 1,
    weight: 1,
    bytes: 0,
    queueTimeout: delay('queueTimeout', options.queueTimeout, NEVER),
    timeout: delay('timeout', options.timeout, NEVER),
    onTimeout,
    transfer: undefined,
    onMessage: undefined,
  };
  return {
    workers,
    queue: { size, whenFull, ageing, order },
    perKey: typeof perKey === 'function' ? perKey : () => perKey,
    rate,
    handler: typeof worker === 'function' ? (worker as Handler) : undefined,
    module,
    threads: threads ?? {},
    learns: typeof workers !== 'number' || options.classify !== undefined,
    timed: typeof workers !== 'number' || histograms,
    onTimeout,
    classify,
    stuckAfter,
    histograms,
    name,
    clock,
    defaults,
  };
}

/** What a submission asks for, over what the pool asks for. */
export function resolveSettings(
  options: SubmitOptions,
  defaults: TaskSettings,
  { module, perKey, queue }: ResolvedOptions,
): TaskSettings {
  assertKnown(options, SUBMIT);
  assertSignal(options.signal);
  const { priority = defaults.priority, key, weight = 1, bytes = 0 } = options;
  assertOption(
    'priority',
    priority,
    Number.isInteger(priority) && priority >= 0 && priority < PRIORITIES,
    `an integer from 0 to ${PRIORITIES - 1}`,
  );
  assertOption('key', key, key === undefined || typeof key === 'string', 'a string');
  assertOption('key', key, key === undefined || queue.whenFull !== 'caller-runs', "left out with 'caller-runs'");
  assertOption('weight', weight, isCount(weight), 'an integer from 1');
  assertOption('bytes', bytes, typeof bytes === 'number' && bytes >= 0, 'a number from 0');
  const { transfer, onMessage } = options;
  const isThread = module !== undefined;
  assertOption('weight', weight, weight === 1 || !isThread, '1 for threads: each runs one body');
  assertOption('transfer', transfer, transfer === undefined || isThread, 'given only for threads');
  assertOption('onMessage', onMessage, onMessage === undefined || isThread, 'given only for threads');
  const keyLimit = key === undefined ? 1 : perKey(key);
  assertOption(`perKey(${key})`, keyLimit, isCount(keyLimit), 'an integer from 1');
  return {
    ...defaults,
    priority,
    key,
    keyLimit,
    weight,
    bytes,
    transfer,
    onMessage,
    queueTimeout: delay('queueTimeout', options.queueTimeout, defaults.queueTimeout),
    timeout: delay('timeout', options.timeout, defaults.timeout),
  };
}

export function checkRun<Job>(options: RunOptions<Job>): void {
  assertKnown(options, RUN);
  const { ordered, failFast, each } = options;
  assertSignal(options.signal);
  assertOption('ordered', ordered, isFlag(ordered), 'true or false');
  assertOption('failFast', failFast, isFlag(failFast), 'true or false');
  assertOption('each', each, each === undefined || typeof each === 'function', 'a function');
}

export function checkGroup(options: GroupOptions): void {
  assertKnown(options, GROUP);
  assertSignal(options.signal);
  assertOption('failFast', options.failFast, isFlag(options.failFast), 'true or false');
}

export function checkClose(options: CloseOptions): void {
  assertKnown(options, CLOSE);
  const { deadline } = options;
  const ok = deadline === undefined || (typeof deadline === 'number' && deadline >= 0);
  assertOption('deadline', deadline, ok, 'a number of ms from 0');
}

/** What does not go together with threads. */
function checkForThreads({ workers, onTimeout, queue }: PoolOptions<WorkerFunction | undefined>): void {
  assertOption('workers', workers, typeof workers === 'number', 'an integer from 1 for threads');
  assertOption('onTimeout', onTimeout, onTimeout !== 'release', "'hold' for threads: they are terminated");
  const whenFull = queue?.whenFull;
  assertOption(
    'queue.whenFull',
    whenFull,
    whenFull !== 'caller-runs',
    'another one for threads: the caller has no module',
  );
}

export function assertWorkers(workers: number): void {
  assertOption('workers', workers, isCount(workers), 'an integer from 1');
}

function byTimeout(outcome: Outcome<unknown>): Verdict {
  if (outcome.status === 'fulfilled') return 'ok';
  return outcome.status === 'rejected' && isError(outcome.error, 'TASK_TIMEOUT') ? 'overload' : 'ignored';
}

function delay(option: string, ms: number | undefined, otherwise: number): number {
  if (ms === undefined) return otherwise;
  assertOption(option, ms, isDelay(ms), 'ms from 1');
  return ms;
}

function isDelay(ms: number): boolean {
  return typeof ms === 'number' && ms >= 1;
}

function assertSignal(signal: AbortSignal | undefined): void {
  assertOption('signal', signal, signal === undefined || typeof signal?.aborted === 'boolean', 'an AbortSignal');
}

function isFlag(value: unknown): boolean {
  return value === undefined || typeof value === 'boolean';
}

export function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1;
}
