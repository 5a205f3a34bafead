/** What a user says of a Resque backend. */
import type { Clock } from '../../clock.ts';
import { assertOption } from '../../errors.ts';
import type { Link } from '../redis/link/link.ts';
import type { Manner } from './manner.ts';

export interface ResqueOptions {
  /** What all keys begin with. A colon is put behind it unless there is one, so goworker's `resque:` is the same. Default `resque`. */
  readonly namespace?: string;
  /**
   * Whether a job whose server died runs again or goes to `failed`. Default `'at-least-once'`: it runs again, at once, and
   * goes to `failed` when its servers died `maxCrashes` times.
   */
  readonly delivery?: 'at-least-once' | 'at-most-once';
  /** How workers are named, counted and shown: see manner.ts. Default `'resque'`. */
  readonly manner?: Manner;
  /** Failures after which a job goes to `failed`. Minimum 1. Default 1. */
  readonly attempts?: number;
  /** The queues in the names of workers, as goworker repeats them by their weight: `high,high,low`. Default: each once. */
  readonly queues?: string;
  /** Default: that of the Redis server. */
  readonly clock?: Clock;
}

/** With defaults, and checked. */
export interface Settings extends Required<Omit<ResqueOptions, 'namespace' | 'queues' | 'clock'>> {
  /** What all keys begin with. */
  readonly prefix: string;
  readonly queues: string | undefined;
  readonly clock: Clock | undefined;
}

/** @throws OPTION_INVALID */
export function withDefaults(options: ResqueOptions, link: Link): Settings {
  const { namespace = 'resque', delivery = 'at-least-once', manner = 'resque', attempts = 1 } = options;
  const { queues, clock } = options;
  assertOneOf('delivery', delivery, ['at-least-once', 'at-most-once']);
  assertOneOf('manner', manner, ['resque', 'goworker']);
  assertOption('attempts', attempts, Number.isInteger(attempts) && attempts >= 1, 'an integer from 1');
  const inOneSlot = !link.isCluster || /\{[^}]+\}/.test(namespace);
  const braces = 'one with braces, like {resque}: a cluster keeps no two keys together otherwise';
  assertOption('namespace', namespace, inOneSlot, braces);
  const prefix = namespace === '' || namespace.endsWith(':') ? namespace : `${namespace}:`;
  return { prefix, delivery, manner, attempts, queues, clock };
}

function assertOneOf(option: string, value: string, values: readonly string[]): void {
  assertOption(option, value, values.includes(value), values.map((each) => `'${each}'`).join(' or '));
}
