/**
 * The flags of `millrace work`: goworker's, with their names and defaults, and what a program needs that has no worker classes
 * compiled into it. One dash does as well as two, as there.
 */
import { assertOption } from '../errors.ts';
import type { Queues } from '../server/queues.ts';
import { duration, Expected, type Flag, integer, list, optionalText, readFlags, toggle, type Values } from './flags.ts';
import { queueText } from './queue-text.ts';
import { workUrl } from './work-url.ts';

/** Shortest time between two looks, ms: without it an interval of 0 would ask Redis as fast as it answers. */
const MIN_INTERVAL = 10;

/** Seconds, as a fraction, in ms. */
function seconds(flag: Pick<Flag<number>, 'help' | 'default' | 'defaultText'>): Flag<number> {
  return {
    ...flag,
    value: 'SECONDS',
    parse(text) {
      if (!/^(\d+\.?\d*|\.\d+)$/.test(text.trim())) throw new Expected('a number of seconds from 0, such as 5.0');
      return Math.max(MIN_INTERVAL, Number(text) * 1_000);
    },
  };
}

export const workFlags = {
  queues: queueText({ env: 'MILLRACE_QUEUES', help: 'high,low: strictly in this order; high=2,low=1: by weight' }),
  require: list({
    value: 'FILE,…',
    env: 'MILLRACE_REQUIRE',
    help: 'modules whose exported functions are the worker classes',
  }),
  interval: seconds({
    help: 'time between looks when no job was found and nobody told of one; at least 0.01',
    default: 5_000,
    defaultText: '5.0',
  }),
  concurrency: integer({
    value: 'N',
    env: 'MILLRACE_CONCURRENCY',
    help: 'jobs that run at once',
    min: 1,
    max: 10_000,
    default: 25,
  }),
  uri: optionalText({
    value: 'URL',
    help: 'redis://, rediss:// or unix:// for jobs of Resque and goworker, or any backend',
    defaultText: '$REDIS_PROVIDER’s or $REDIS_URL, or redis://localhost:6379/',
  }),
  namespace: optionalText({ value: 'PREFIX', help: 'of the keys of Resque', defaultText: 'resque:' }),
  'exit-on-complete': toggle({ help: 'end when the queues have nothing left to run' }),
  'use-number': toggle({ help: 'give integers beyond 2^53 to functions as bigints, digit for digit' }),
  'tls-cert': optionalText({ value: 'FILE', help: 'certificates to trust, PEM' }),
  'insecure-tls': toggle({ help: 'trust any certificate' }),
  connections: integer({
    value: 'N',
    help: 'accepted and of no effect: one connection carries all calls, one the wake-ups',
    min: 1,
    default: undefined,
  }),
  backend: optionalText({
    value: 'URL',
    env: 'MILLRACE_BACKEND',
    help: 'in place of --uri, as with the other commands',
  }),
  'stop-deadline': duration({
    value: 'TIME',
    env: 'MILLRACE_STOP_DEADLINE',
    help: 'how long a stop waits for jobs that run, before it hands them back',
    default: Number.POSITIVE_INFINITY,
    defaultText: 'as long as they take',
  }),
} as const;

export type WorkOptions = Values<typeof workFlags> & {
  readonly queues: Queues;
  /** For `openBackend`. */
  readonly url: string;
};

/** Throws OPTION_INVALID and OPTION_UNKNOWN. */
export function readWorkOptions(args: readonly string[], env: NodeJS.ProcessEnv): WorkOptions {
  const options = readFlags(workFlags, args.map(withTwoDashes), env);
  const { queues, require } = options;
  assertOption('--queues', undefined, queues !== undefined, 'given: at least one queue');
  assertOption('--require', undefined, require.length > 0, 'given: a module with worker classes');
  const place = { ...options, queues: queues as Queues };
  return { ...place, url: workUrl(place, env) };
}

/** A single letter stays what it was. */
function withTwoDashes(arg: string): string {
  return /^-[a-z][\w-]/.test(arg) ? `-${arg}` : arg;
}
