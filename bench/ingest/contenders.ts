/**
 * Who runs: Millrace in its shapes, and the peers. Each starts in an empty folder of its own.
 *
 * A contender that delivers brings its own sink, so that runs share nothing.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Program } from './program.ts';

export interface Running {
  readonly server: Program;
  readonly sink?: Program;
  /** What `AttemptStats` tells about, instead of a sink: the server itself answers `GET /stats`. */
  readonly holdsInMemory?: boolean;
}

export interface Contender {
  readonly name: string;
  start(folder: string): Promise<Running>;
  /** Starts it on the same folder and the same sink, as somebody would after a crash. */
  restart?(folder: string, sink: Program): Promise<Running>;
}

export interface ServeOptions {
  readonly backend: 'sqlite' | 'memory';
  /** Most payloads that wait. Default: more than any run brings. */
  readonly maxQueue?: number;
  /** Other flags of `millrace serve`. */
  readonly flags?: readonly string[];
  /** Arguments of the sink; absent: the door only, nothing is delivered. */
  readonly sink?: readonly string[];
}

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const node = (program: string, args: readonly string[] = []) =>
  Program.start(process.execPath, [here(program), ...args]);

/** The bench's sink, in a process of its own. */
export const startSink = (args: readonly string[]) => node('./sink.ts', args);

/** Any key does for the bench's sink; the S3 client wants to have one. */
const credentials = { AWS_ACCESS_KEY_ID: 'bench', AWS_SECRET_ACCESS_KEY: 'bench', AWS_REGION: 'us-east-1' };

/** `millrace serve`, as a user starts it. */
export function millrace(name: string, options: ServeOptions): Contender {
  const { backend, maxQueue = 100_000_000, flags = [], sink: sinkArgs } = options;
  const serve = async (folder: string, sink: Program | undefined): Promise<Running> => {
    const carries = sink ? ['--sink', 's3://bench/payloads', '--s3-endpoint', sink.url] : ['--no-workers'];
    const where = backend === 'memory' ? 'memory:' : `sqlite:${join(folder, 'jobs.db')}`;
    const args = ['serve', '--port', '0', '--backend', where, '--max-queue', String(maxQueue), ...carries, ...flags];
    const server = await Program.start(process.execPath, [here('../../src/cli/main.ts'), ...args], {
      cwd: folder,
      env: credentials,
    });
    return sink ? { server, sink } : { server };
  };
  return {
    name,
    async start(folder) {
      const sink = sinkArgs && (await startSink(sinkArgs));
      try {
        return await serve(folder, sink);
      } catch (error) {
        await sink?.stop();
        throw error;
      }
    },
    restart: serve,
  };
}

/** The least a Node server can do. */
export const bare: Contender = { name: 'bare node:http', start: async () => ({ server: await node('./bare.ts') }) };

export interface AttemptOptions {
  readonly attempt: 1 | 2 | 3;
  /** How long an upload takes, ms. */
  readonly upload: number;
}

const WORKERS = 100;
const QUEUE = 1000;

/** One of the article's handlers in our runtime. */
export function attemptHere(name: string, { attempt, upload }: AttemptOptions): Contender {
  const args = ['--attempt', attempt, '--upload', upload, '--workers', WORKERS, '--queue', QUEUE].map(String);
  return { name, start: async () => ({ server: await node('./attempts.ts', args), holdsInMemory: true }) };
}

/** One of the article's handlers in Go. Built on first use. */
export function attemptInGo(name: string, { attempt, upload }: AttemptOptions): Contender {
  const args = ['-attempt', attempt, '-upload', `${upload}ms`, '-workers', WORKERS, '-queue', QUEUE].map(String);
  return {
    name,
    start: async (folder) => ({ server: await Program.start(buildGo(folder), args), holdsInMemory: true }),
  };
}

/** The version of Go on this machine, or undefined: then its rows are not run. */
export function goVersion(): string | undefined {
  const { status, stdout } = spawnSync('go', ['version'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

function buildGo(folder: string): string {
  const binary = join(folder, 'article');
  const { status, stderr } = spawnSync('go', ['build', '-o', binary, '.'], { cwd: here('./go'), encoding: 'utf8' });
  if (status !== 0) throw new Error(`go build failed:\n${stderr}`);
  return binary;
}
