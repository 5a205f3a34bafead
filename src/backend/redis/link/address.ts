/**
 * Where Redis is and how to get in, from a URL. Secrets stay in `Address.access`; `name` is for messages and has none.
 *
 *   redis://user:password@host:6379/0        one server; rediss:// with TLS
 *   redis+unix:///run/redis.sock?db=0        one server on this machine
 *   redis+sentinel://h1,h2:26379/main/0      the master called `main`, as these sentinels know it; rediss+sentinel://
 *   redis+cluster://h1,h2:6379               a cluster, found through any of these nodes; rediss+cluster://
 */
import { readFile } from 'node:fs/promises';
import { assertOption, MillraceError } from '../../../errors.ts';

export type Place = { readonly host: string; readonly port: number } | { readonly path: string };

export interface Access {
  readonly username?: string;
  readonly password?: string;
  readonly db: number;
  /** Absent: no TLS. */
  readonly tls?: TlsFiles;
}

/** Paths, read anew for each connection, so that a renewed certificate is taken up. */
export interface TlsFiles {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
  readonly rejectUnauthorized: boolean;
}

export interface Address {
  readonly kind: 'single' | 'sentinel' | 'cluster';
  readonly name: string;
  /** Of the server, the sentinels, or some nodes of the cluster. */
  readonly places: readonly Place[];
  readonly access: Access;
  readonly sentinel?: {
    readonly master: string;
    readonly access: Access;
  };
  /** A call that has no answer after so many ms is given up. */
  readonly timeout: number;
  /** A call is answered when so many replicas have its effect. */
  readonly waitForReplicas: number;
  /** A call is answered when its effect is on the server's disk. */
  readonly waitForDisk: boolean;
  /** Of the options that the caller knows, those that were given. */
  readonly others: ReadonlyMap<string, string>;
}

const defaultTimeout = 10_000;
/** The scripts remember for five minutes what they answered; a call that was sent again later would be done twice. */
const longestTimeout = 240_000;
const ports = { single: 6379, unix: 0, cluster: 6379, sentinel: 26379 };

/** @param others options of the query that are the caller's business */
export function parseAddress(url: string, others: readonly string[] = []): Address {
  const match = /^redis(s?)(?:\+(unix|sentinel|cluster))?:\/\/(?:([^@/?]*)@)?([^/?@]*)([^?]*)(?:\?(.*))?$/s.exec(url);
  // The URL may carry a password, so the message shows only its beginning.
  const bad = (expected: string) =>
    new MillraceError('OPTION_INVALID', { option: 'url', expected, got: `${url.slice(0, url.indexOf(':') + 1)}…` });
  const form =
    'redis://[user:password@]host[:port][/db], with %40 for an @, %2F for a / and %3F for a ? in the password';
  if (!match) throw bad(form);
  const [, s, variant = 'single', user, authority = '', path = '', query = ''] = match;
  // What stands before such an @ is the rest of a password; no message may quote it.
  if ((variant !== 'unix' && path.includes('@')) || /^[^=]*@/.test(query)) throw bad(form);
  const kind = variant === 'unix' ? 'single' : (variant as Address['kind']);
  if (variant === 'unix' && s) throw bad('redis+unix:// (a socket on this machine needs no TLS)');

  const settings = new Settings(query, [...optionsOf(variant, s !== ''), ...others]);
  const tls = s ? { tls: tlsOf(settings) } : {};
  const { places, database, master } = whereabouts(variant as keyof typeof ports, authority, path, bad);
  assertOption('db', database, database === '' || settings.text('db') === undefined, 'given once');
  const db = database === '' ? settings.integer('db', 0, 0) : Number(database);
  assertOption('db', database, Number.isInteger(db) && db >= 0, 'the number of a database, from 0');
  assertOption('db', db, db === 0 || kind !== 'cluster', '0: a cluster has no other');
  const shown = variant === 'unix' ? path : authority + path;
  return {
    kind,
    name: `redis${s}${variant === 'single' ? '' : `+${variant}`}://${shown}${variant === 'unix' && db > 0 ? `?db=${db}` : ''}`,
    places,
    access: { ...login(user, bad), db, ...tls },
    ...(master !== undefined && {
      sentinel: { master, access: { ...sentinelLogin(settings), db: 0, ...tls } },
    }),
    timeout: settings.integer('timeout', defaultTimeout, 1, longestTimeout),
    waitForReplicas: settings.integer('waitForReplicas', 0, 0),
    waitForDisk: settings.flag('waitForDisk', false),
    others: settings.pick(others),
  };
}

/** As `tls.connect` wants it. */
export async function readTls(tls: TlsFiles): Promise<Record<string, unknown>> {
  const [ca, cert, key] = await Promise.all([tls.ca, tls.cert, tls.key].map((path) => path && readFile(path)));
  return {
    tls: true,
    rejectUnauthorized: tls.rejectUnauthorized,
    ...(tls.servername && { servername: tls.servername }),
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
  };
}

export function showPlace(place: Place): string {
  if ('path' in place) return place.path;
  return place.host.includes(':') ? `[${place.host}]:${place.port}` : `${place.host}:${place.port}`;
}

type Bad = (expected: string) => MillraceError;

interface Whereabouts {
  readonly places: Place[];
  /** As it was written; empty: not at all. */
  readonly database: string;
  readonly master?: string;
}

function whereabouts(variant: keyof typeof ports, authority: string, path: string, bad: Bad): Whereabouts {
  if (variant === 'unix') {
    if (authority || path.length < 2) throw bad('redis+unix:///absolute/path/of/the/socket[?db=0]');
    return { places: [{ path: decode(path, bad) }], database: '' };
  }
  const places = hosts(authority, ports[variant], variant === 'single' ? 1 : 64, bad);
  if (variant !== 'sentinel') return { places, database: path.slice(1) };
  const [, master = '', database = '', ...more] = path.split('/');
  if (!master || more.length > 0) throw bad('redis+sentinel://host[,host…]/name-of-the-master[/db]');
  return { places, master: decode(master, bad), database };
}

function hosts(authority: string, port: number, most: number, bad: Bad): Place[] {
  const places = authority.split(',').map((text) => {
    const [, six, host = six, digits] = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::(\d+))?$/i.exec(text) ?? [];
    const number = digits === undefined ? port : Number(digits);
    if (!host || number < 1 || number > 65_535) throw bad('host[:port], with a port from 1 to 65535');
    return { host, port: number };
  });
  if (places.length > most) throw bad('one host; several are for redis+sentinel:// and redis+cluster://');
  return places;
}

function login(user: string | undefined, bad: Bad): Pick<Access, 'username' | 'password'> {
  if (!user) return {};
  const colon = user.indexOf(':');
  if (colon < 0) throw bad('user:password@host, or :password@host for the default user');
  const username = decode(user.slice(0, colon), bad);
  return { ...(username && { username }), password: decode(user.slice(colon + 1), bad) };
}

function sentinelLogin(settings: Settings): Pick<Access, 'username' | 'password'> {
  const username = settings.text('sentinelUsername');
  const password = settings.text('sentinelPassword');
  return { ...(username && { username }), ...(password && { password }) };
}

function tlsOf(settings: Settings): TlsFiles {
  const files = ['ca', 'cert', 'key', 'servername'] as const;
  const given = files.flatMap((name) => {
    const value = settings.text(name);
    return value ? [[name, value]] : [];
  });
  return { ...Object.fromEntries(given), rejectUnauthorized: settings.flag('rejectUnauthorized', true) };
}

function decode(text: string, bad: Bad): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw bad('percent-encoded where it has a %');
  }
}

function optionsOf(variant: string, tls: boolean): string[] {
  return [
    'timeout',
    'waitForReplicas',
    'waitForDisk',
    ...(variant === 'single' || variant === 'unix' ? ['db'] : []),
    ...(variant === 'sentinel' ? ['sentinelUsername', 'sentinelPassword'] : []),
    ...(tls ? ['ca', 'cert', 'key', 'servername', 'rejectUnauthorized'] : []),
  ];
}

/** The query of the URL. */
class Settings {
  readonly #given: URLSearchParams;

  constructor(query: string, known: readonly string[]) {
    this.#given = new URLSearchParams(query);
    for (const option of this.#given.keys()) {
      if (!known.includes(option)) throw new MillraceError('OPTION_UNKNOWN', { option });
    }
  }

  text(option: string): string | undefined {
    return this.#given.get(option) ?? undefined;
  }

  integer(option: string, otherwise: number, least: number, most?: number): number {
    const text = this.text(option);
    if (text === undefined) return otherwise;
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    const expected = `an integer from ${least}${most === undefined ? '' : ` to ${most}`}`;
    assertOption(option, text, value >= least && value <= (most ?? 2 ** 31 - 1), expected);
    return value;
  }

  flag(option: string, otherwise: boolean): boolean {
    const text = this.text(option);
    if (text === undefined) return otherwise;
    const on = text === '1' || text === 'true';
    assertOption(option, text, on || text === '0' || text === 'false', '1, true, 0 or false');
    return on;
  }

  /** Those of them that were given. */
  pick(names: readonly string[]): Map<string, string> {
    return new Map(
      names.flatMap((name) => (this.#given.has(name) ? [[name, this.text(name) as string] as const] : [])),
    );
  }
}
