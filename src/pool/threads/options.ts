/**
 * What a user may say about threads, checked once.
 *
 *   window        0 ───────────────── 'auto' ──────────────── n      jobs that lie ready in a thread
 *   concurrency   1 body at a time (computing) ────────────── n      bodies that mostly wait
 *   min … threads                                                    how many threads there are, and idleTimeout
 *   maxTasks, maxHeap, resourceLimits                                when one is replaced
 *   abortGrace, terminateTimeout                                     how an aborted body is ended
 */
import type { Writable } from 'node:stream';
import { type ResourceLimits, SHARE_ENV } from 'node:worker_threads';
import { assertKnown, assertOption } from '../../errors.ts';

export interface ThreadOptions {
  /**
   * Jobs handed to a thread ahead of those it runs, so that it does not stand still for a round trip after each. Integer
   * from 0 to 65,536, or `'auto'`. Default `'auto'`: measured, from 256 for jobs of microseconds down to 0 for jobs of 10 ms
   * and more. Trap: a job in the window is behind the running one; it is taken away again when that one turns out to be
   * long, but only after some 10 ms. Jobs with transferables are never handed over ahead, whatever this says.
   */
  readonly window?: number | 'auto';
  /** Bodies at once in one thread. Integer from 1 to 65,536. Default 1. More only helps bodies that wait for something. */
  readonly concurrency?: number;
  /** Threads that are started with the crew and kept. Integer from 0 to `threads`. Default 0: started when needed. */
  readonly min?: number;
  /**
   * ms without a job after which a thread above `min` is ended. Minimum 0. Default `Infinity`: a thread takes about 10 MB
   * and 30 ms to start, and does not keep the process alive while it is idle.
   */
  readonly idleTimeout?: number;
  /** Jobs after which a thread is replaced by a new one, between two jobs. Integer from 1. Default `Infinity`. */
  readonly maxTasks?: number;
  /**
   * Bytes of heap in use above which a thread is replaced, after what it runs. Minimum 1. Default `Infinity`. Measured
   * at most every 20 ms, garbage included, so set it well above what a healthy thread uses. A limit that kills is
   * `resourceLimits`.
   */
  readonly maxHeap?: number;
  /**
   * ms between the abort of a running body and the end of its thread, if the body has not ended by then. Minimum 0,
   * `Infinity` leaves it to the body. Default 20: time for a body that looks at `context.aborted` or listens to
   * `context.signal`, and little enough to have the place served again within 50 ms of the abort; the first time later, if
   * a thread takes longer than that to start. Results of the last 0.1 ms before such a body are lost with the thread.
   */
  readonly abortGrace?: number;
  /** ms that ending a thread may take before it is given up, with a warning. Minimum 1. Default 1,000. */
  readonly terminateTimeout?: number;
  /** Memory of one thread, as for `Worker`. Beyond it the thread dies: THREAD_DIED. */
  readonly resourceLimits?: ResourceLimits;
  /** `workerData` of `node:worker_threads` in the thread. Cloned for each thread. */
  readonly workerData?: unknown;
  /** `process.env` in the thread. Default a copy of this process's; `SHARE_ENV` shares it. */
  readonly env?: NodeJS.ProcessEnv | typeof SHARE_ENV;
  /** Appended to `process.argv` in the thread. */
  readonly argv?: readonly string[];
  /** Options of `node` for the thread. Default those of this process. */
  readonly execArgv?: readonly string[];
  /** Receives what threads write to stdout. Not ended with them. Default this process's stdout. */
  readonly stdout?: Writable;
  /** Receives what threads write to stderr. Not ended with them. Default this process's stderr. */
  readonly stderr?: Writable;
}

/** Every option with its value; those for `Worker` are left as they came. */
export type Settings = ThreadOptions &
  Required<
    Pick<
      ThreadOptions,
      'window' | 'concurrency' | 'min' | 'idleTimeout' | 'maxTasks' | 'maxHeap' | 'abortGrace' | 'terminateTimeout'
    >
  >;

/** Most bodies and most prefetched jobs of one thread: the size of its table is made of them. */
const MOST = 65_536;

const KNOWN: { readonly [Name in keyof Required<ThreadOptions>]: true } = {
  window: true,
  concurrency: true,
  min: true,
  idleTimeout: true,
  maxTasks: true,
  maxHeap: true,
  abortGrace: true,
  terminateTimeout: true,
  resourceLimits: true,
  workerData: true,
  env: true,
  argv: true,
  execArgv: true,
  stdout: true,
  stderr: true,
};

/** Fills in the defaults. Throws OPTION_INVALID or OPTION_UNKNOWN, naming the option as `threads.…`. */
export function toSettings(options: ThreadOptions, threads: number): Settings {
  assertKnown(options, KNOWN, 'threads');
  const settings: Settings = {
    ...options,
    window: options.window ?? 'auto',
    concurrency: options.concurrency ?? 1,
    min: options.min ?? 0,
    idleTimeout: options.idleTimeout ?? Number.POSITIVE_INFINITY,
    maxTasks: options.maxTasks ?? Number.POSITIVE_INFINITY,
    maxHeap: options.maxHeap ?? Number.POSITIVE_INFINITY,
    abortGrace: options.abortGrace ?? 20,
    terminateTimeout: options.terminateTimeout ?? 1_000,
  };
  const { window, concurrency, min, maxTasks } = settings;
  check('window', window, window === 'auto' || isInteger(window, 0, MOST), `an integer from 0 to ${MOST}, or 'auto'`);
  check('concurrency', concurrency, isInteger(concurrency, 1, MOST), `an integer from 1 to ${MOST}`);
  check('min', min, isInteger(min, 0, threads), 'an integer from 0 to the number of threads');
  const isTasks = maxTasks === Number.POSITIVE_INFINITY || isInteger(maxTasks, 1, Number.MAX_SAFE_INTEGER);
  check('maxTasks', maxTasks, isTasks, 'an integer from 1, or Infinity');
  checkNumber('idleTimeout', settings.idleTimeout, 0, 'ms');
  checkNumber('maxHeap', settings.maxHeap, 1, 'bytes');
  checkNumber('abortGrace', settings.abortGrace, 0, 'ms');
  checkNumber('terminateTimeout', settings.terminateTimeout, 1, 'ms');
  checkWorkerOptions(options);
  return settings;
}

/** Throws OPTION_INVALID unless it is a number of threads. */
export function assertThreads(threads: number): void {
  assertOption('threads', threads, isInteger(threads, 1, 4_096), 'an integer from 1 to 4096');
}

function checkWorkerOptions({ resourceLimits, env, argv, execArgv, stdout, stderr }: ThreadOptions): void {
  check('resourceLimits', resourceLimits, resourceLimits === undefined || isObject(resourceLimits), 'an object');
  check('env', env, env === undefined || env === SHARE_ENV || isObject(env), 'an object or SHARE_ENV');
  check('argv', argv, argv === undefined || isStrings(argv), 'an array of strings');
  check('execArgv', execArgv, execArgv === undefined || isStrings(execArgv), 'an array of strings');
  check('stdout', stdout, stdout === undefined || isWritable(stdout), 'a writable stream');
  check('stderr', stderr, stderr === undefined || isWritable(stderr), 'a writable stream');
}

function check(name: keyof ThreadOptions, got: unknown, ok: boolean, expected: string): void {
  assertOption(`threads.${name}`, got, ok, expected);
}

function checkNumber(name: keyof ThreadOptions, got: number, least: number, unit: string): void {
  check(name, got, typeof got === 'number' && got >= least, `a number of ${unit} from ${least}`);
}

function isInteger(value: unknown, least: number, most: number): boolean {
  return Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

function isStrings(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function isWritable(value: unknown): boolean {
  return isObject(value) && typeof (value as Writable).write === 'function';
}
