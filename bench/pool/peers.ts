/**
 * The peers: what is installed, and as much of their types as the bench uses.
 *
 * They live in bench/pool/node_modules, which `npm ci` fills from the lock file of this folder on the bench's first run. The
 * project is built, checked and tested without them, so nothing may import them by name: TypeScript would want their
 * types.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Installs what the lock file names and is not there. False when that fails; npm's output is then on stderr. */
export function installPeers(): boolean {
  const { status } = spawnSync(process.execPath, [here('../../scripts/setup.js'), 'bench/pool'], { stdio: 'inherit' });
  return status === 0;
}

/** The version of a package that is installed, or undefined. */
export function versionOf(name: string): string | undefined {
  const path = here(`./node_modules/${name}/package.json`);
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).version : undefined;
}

/** Loads a package by a name that TypeScript does not look up. */
export async function load<Name extends keyof Peers>(name: Name): Promise<Peers[Name]> {
  return await import(name as string);
}

type Body = () => Promise<void>;
type Handler = (job: number) => Promise<number>;

interface Peers {
  readonly fastq: {
    readonly default: { promise(worker: Body, concurrency: number): { push(job: number): Promise<unknown> } };
  };
  readonly 'p-limit': { readonly default: (concurrency: number) => (body: Body) => Promise<void> };
  readonly 'p-queue': {
    readonly default: new (options: {
      concurrency: number;
    }) => { add(body: Body, options?: { signal?: AbortSignal | undefined }): Promise<unknown> };
  };
  readonly 'p-map': {
    readonly default: (source: Iterable<number>, handler: Handler, options: MapOptions) => Promise<number[]>;
    pMapIterable(source: Iterable<number>, handler: Handler, options: MapOptions): AsyncIterable<number>;
  };
  readonly async: { readonly default: { queue(worker: Body, concurrency: number): AsyncQueue } };
  readonly bottleneck: {
    readonly default: new (options: { maxConcurrent: number }) => { schedule(body: Body): Promise<void> };
  };
  readonly cockatiel: {
    bulkhead(limit: number, queue: number): { execute(body: Body): Promise<void> };
  };
  readonly piscina: { readonly Piscina: new (options: object) => Runner };
  readonly tinypool: { readonly default: new (options: object) => Runner };
  readonly workerpool: {
    readonly default: {
      pool(script: string, options: object): { exec(task: string, payloads: unknown[]): Cancellable };
      worker(tasks: object): void;
    };
  };
  readonly poolifier: {
    readonly FixedThreadPool: new (
      threads: number,
      script: string,
      options: object,
    ) => { execute(payload: unknown, task: string): Promise<unknown> };
    readonly ThreadWorker: new (tasks: object) => object;
  };
}

interface MapOptions {
  readonly concurrency: number;
}

interface AsyncQueue {
  /** With a callback it returns nothing, without one a promise. */
  push(job: number): Promise<unknown>;
  push(job: number, ended: () => void): void;
}

interface Runner {
  run(payload: unknown, options?: { signal?: AbortSignal | undefined }): Promise<unknown>;
}

interface Cancellable extends Promise<unknown> {
  cancel(): unknown;
}
