/** What the front door can be told, with every default in one place. */
import { isIPv4 } from 'node:net';
import type { AddGroup, AddResult } from '../backend/backend.ts';
import { type Clock, systemClock } from '../clock.ts';
import { assertOption } from '../errors.ts';
import type { Metric } from './metrics.ts';

export type DoorLog = (
  level: 'info' | 'warn' | 'error',
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

export interface FrontDoorOptions {
  /**
   * Stores one collection, all of it or nothing, and resolves when it is durable; rejects when the backend is away. Pass
   * a Batcher in front of `backend.add`, so that requests of the same moment share a commit.
   */
  readonly add: (group: AddGroup) => Promise<AddResult>;
  /** Name of the job that each payload becomes. */
  readonly job: string;
  /** Queue the jobs go to. Default `'default'`. */
  readonly queue?: string;
  /** 0 is served first. Integer 0–9. Default 4. */
  readonly priority?: number;
  /** Failures after which a job is discarded. Minimum 1. Default 25. */
  readonly maxAttempts?: number;

  /** Address to listen on. Default `'127.0.0.1'`. Any address that is not loopback needs `tokens` or `insecure`. */
  readonly host?: string;
  /** 0 picks a free one, and `url` tells it. 0–65535. Default 8080. */
  readonly port?: number;
  /** Lets other processes listen on the same port; the kernel shares the connections out. Default false. */
  readonly reusePort?: boolean;
  /** Bearer tokens that may post and read metrics; several, so that one can be replaced while both hold. Default none. */
  readonly tokens?: readonly string[];
  /** Listen beyond loopback without a token. Default false. */
  readonly insecure?: boolean;

  /** Waiting jobs above which collections are refused with 503. Minimum 1. Default 100,000. */
  readonly maxQueue?: number;
  /** Bytes of one body, as sent and as inflated. Minimum 1. Default 1,048,576. */
  readonly maxLength?: number;
  /** Payloads in one collection; `maxQueue` bounds it too. Minimum 1. Default 10,000. */
  readonly maxPayloads?: number;
  /** Bytes of all bodies being read or stored, each request with 1 KiB on top. Minimum `maxLength`. Default 64 MiB. */
  readonly maxInFlight?: number;
  /** Open connections; more are dropped unheard. Minimum 1. Default 10,000. */
  readonly maxConnections?: number;
  /** Posts per second, and as many at once after a quiet second; more are refused with 429. Above 0. Default: no limit. */
  readonly rate?: number;

  /** ms for the headers of a request. Minimum 1. Default 10,000. */
  readonly headersTimeout?: number;
  /** ms for a body, from its headers to its end. Minimum 1. Default 30,000. */
  readonly bodyTimeout?: number;
  /** Bytes per second that a body must average after its first 5 s. Minimum 0. Default 500. */
  readonly minBodyRate?: number;
  /** ms that an idle connection is kept. Keep it above that of the load balancer in front. Minimum 1. Default 70,000. */
  readonly keepAliveTimeout?: number;
  /** ms that `stop` gives to requests that have begun. Minimum 0. Default 10,000. */
  readonly stopGrace?: number;

  /** Rejects, with a reason for people, when jobs cannot be stored. For `/readyz`; called for each such request. */
  readonly readiness?: () => Promise<void>;
  /** How many jobs wait, as last heard; lets the door refuse before it reads. Called for every post, so keep it cheap. */
  readonly waiting?: () => number | undefined;
  /** Jobs per second that leave the queue, as last measured; makes Retry-After exact. */
  readonly drainRate?: () => number | undefined;
  /** What `/metrics` shows beside the door's own numbers. */
  readonly metrics?: () => Iterable<Metric>;
  readonly log?: DoorLog;
  readonly clock?: Clock;
}

/** With defaults filled in. */
export type DoorSettings = Required<Omit<FrontDoorOptions, Unset>> & Pick<FrontDoorOptions, Unset>;
type Unset = 'rate' | 'readiness' | 'waiting' | 'drainRate' | 'metrics';

/** Throws OPTION_INVALID for a value that cannot work. */
export function withDefaults(options: FrontDoorOptions): DoorSettings {
  const settings = { ...defaults, ...defined(options) };
  const { host, tokens, insecure, maxLength, rate } = settings;
  integer('port', settings.port, 0, 65_535);
  integer('priority', settings.priority, 0, 9);
  integer('maxInFlight', settings.maxInFlight, maxLength);
  for (const option of atLeastOne) integer(option, settings[option], 1);
  for (const option of ['minBodyRate', 'stopGrace'] as const) integer(option, settings[option], 0);
  assertOption('rate', rate, rate === undefined || (rate > 0 && Number.isFinite(rate)), 'a number above 0');
  assertOption('job', settings.job, settings.job.length > 0, 'a job name');
  // A space or an empty string can never be presented, so such a token would lock everybody out or be a slip.
  for (const token of tokens)
    assertOption('tokens', '(hidden)', /^[!-~]+$/.test(token), 'printable text without spaces');
  const guarded = tokens.length > 0 || insecure || isLoopback(host);
  assertOption('host', host, guarded, 'a loopback address, unless a token is set (or `insecure`, to let everybody in)');
  return settings;
}

const defaults = {
  queue: 'default',
  priority: 4,
  maxAttempts: 25,
  host: '127.0.0.1',
  port: 8080,
  reusePort: false,
  tokens: [] as readonly string[],
  insecure: false,
  maxQueue: 100_000,
  maxLength: 2 ** 20,
  maxPayloads: 10_000,
  maxInFlight: 64 * 2 ** 20,
  maxConnections: 10_000,
  headersTimeout: 10_000,
  bodyTimeout: 30_000,
  minBodyRate: 500,
  keepAliveTimeout: 70_000,
  stopGrace: 10_000,
  log: (() => {}) as DoorLog,
  clock: systemClock,
};

const atLeastOne = [
  'maxAttempts',
  'maxQueue',
  'maxLength',
  'maxPayloads',
  'maxConnections',
  'headersTimeout',
  'bodyTimeout',
  'keepAliveTimeout',
] as const;

function integer(option: string, got: number, from: number, to = Number.MAX_SAFE_INTEGER): void {
  const range = to === Number.MAX_SAFE_INTEGER ? `of ${from} or more` : `from ${from} to ${to}`;
  assertOption(option, got, Number.isInteger(got) && got >= from && got <= to, `an integer ${range}`);
}

/** An option given as `undefined` is not given. */
function defined(options: FrontDoorOptions): FrontDoorOptions {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as unknown as FrontDoorOptions;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}
