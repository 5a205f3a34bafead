/**
 * Ceph's object gateway on this machine: the judge of the S3 sink that was written by somebody else.
 *
 *   ceph-mon ◀── ceph-osd (objects in memory) ◀── radosgw ◀── http://127.0.0.1:PORT
 *
 * Three processes in the foreground, children of the test, without authentication among each other, data in a temporary
 * folder. Takes about 10 s to start and 300 MB of memory. `scripts/install-radosgw.sh` installs the programs.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const PROGRAMS = ['ceph', 'ceph-mon', 'ceph-osd', 'monmaptool', 'radosgw', 'radosgw-admin'];
const START_WITHIN = 60_000;

export const radosgwCredentials = { accessKeyId: 'TESTKEY', secretAccessKey: 'TESTSECRET' } as const;

export interface RadosgwOptions {
  /** `rgw max concurrent requests`: beyond it the gateway answers 503 SlowDown. Default: Ceph's own, 1024. */
  readonly maxConcurrentRequests?: number;
}

export interface Radosgw extends AsyncDisposable {
  readonly endpoint: string;
  close(): Promise<void>;
}

/** Why radosgw cannot be started here, or undefined. */
export function radosgwMissing(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const missing = PROGRAMS.filter((program) => !folders.some((folder) => isExecutable(join(folder, program))));
  return missing.length > 0
    ? `radosgw is NOT tested: ${missing.join(', ')} not found. Install with: sh scripts/install-radosgw.sh`
    : undefined;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export async function startRadosgw(options: RadosgwOptions = {}): Promise<Radosgw> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-ceph-'));
  const children: ChildProcess[] = [];
  const close = async () => {
    for (const child of children.reverse()) await end(child);
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    return { ...(await start(folder, children, options)), close, [Symbol.asyncDispose]: close };
  } catch (error) {
    const logs = await Promise.all(children.map((child) => readFile(logOf(folder, child), 'utf8').catch(() => '')));
    await close();
    throw new Error(`radosgw did not start:\n${logs.map((log) => log.slice(-2000)).join('\n')}`, { cause: error });
  }
}

async function start(folder: string, children: ChildProcess[], options: RadosgwOptions) {
  const [v2, v1, port] = (await freePorts(3)) as [number, number, number];
  const fsid = randomUUID();
  const config = join(folder, 'ceph.conf');
  for (const name of ['mon', 'osd0', 'rgw', 'run']) await mkdir(join(folder, name));
  await writeFile(config, configuration(folder, fsid, v2, v1, port, options));

  const run = (program: string, ...args: string[]) => promisify(execFile)(program, args, { timeout: START_WITHIN });
  const serve = (program: string, ...args: string[]) => {
    const child = spawn(program, ['-c', config, '-f', ...args], { stdio: 'ignore' });
    children.push(child);
  };
  const map = join(folder, 'monmap');
  await run('monmaptool', '--create', '--clobber', '--addv', 'a', addresses(v2, v1), '--fsid', fsid, map);
  await run('ceph-mon', '-c', config, '--mkfs', '-i', 'a', '--monmap', map);
  serve('ceph-mon', '-i', 'a');

  const osd = randomUUID();
  await run('ceph', '-c', config, '--connect-timeout', '30', 'osd', 'new', osd, '0');
  await run('ceph-osd', '-c', config, '-i', '0', '--mkfs', '--osd-uuid', osd);
  serve('ceph-osd', '-i', '0');
  serve('radosgw', '-n', 'client.rgw');

  const endpoint = `http://127.0.0.1:${port}`;
  await answers(endpoint, children);
  const { accessKeyId, secretAccessKey } = radosgwCredentials;
  const keys = ['--access-key', accessKeyId, '--secret-key', secretAccessKey];
  await run('radosgw-admin', '-c', config, 'user', 'create', '--uid', 'test', '--display-name', 'test', ...keys);
  return { endpoint };
}

function addresses(v2: number, v1: number): string {
  return `[v2:127.0.0.1:${v2},v1:127.0.0.1:${v1}]`;
}

function configuration(folder: string, fsid: string, v2: number, v1: number, port: number, options: RadosgwOptions) {
  const { maxConcurrentRequests } = options;
  // "secure" is the default mode towards the monitor, and impossible without authentication: radosgw would hang.
  return `
[global]
fsid = ${fsid}
mon host = ${addresses(v2, v1)}
auth cluster required = none
auth service required = none
auth client required = none
run dir = ${folder}/run
admin socket = ${folder}/run/$cluster-$name.$pid.asok
log file = ${folder}/run/$name.log
pid file = ${folder}/run/$name.pid
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
osd pool default pg num = 8
osd pool default pgp num = 8
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 1073741824
osd data = ${folder}/osd0
mon data = ${folder}/mon
mon max pg per osd = 2000
public addr = 127.0.0.1
cluster addr = 127.0.0.1
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:${port}
ms mon client mode = crc secure
rgw data = ${folder}/rgw
rgw thread pool size = 128
${maxConcurrentRequests === undefined ? '' : `rgw max concurrent requests = ${maxConcurrentRequests}`}
`;
}

/** Ports that were free a moment ago. All are held until all are known, so they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => new Promise((resolve) => server.once('listening', resolve))));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Resolves once the gateway answers anything. */
async function answers(endpoint: string, children: readonly ChildProcess[]): Promise<void> {
  for (const deadline = Date.now() + START_WITHIN; Date.now() < deadline; ) {
    const dead = children.find((child) => child.exitCode !== null);
    if (dead) throw new Error(`${dead.spawnfile} ended with ${dead.exitCode}`);
    const answer = await fetch(endpoint, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
    if (answer) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no answer from ${endpoint} within ${START_WITHIN} ms`);
}

function logOf(folder: string, child: ChildProcess): string {
  const names: Readonly<Record<string, string>> = { 'ceph-mon': 'mon.a', 'ceph-osd': 'osd.0', radosgw: 'client.rgw' };
  return join(folder, 'run', `${names[child.spawnfile]}.log`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL'); // nothing in there is worth a clean end
  await gone;
}
