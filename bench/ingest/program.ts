/**
 * A server under measurement: a process of its own (or a tree of them) that prints its address, is asked what it costs,
 * and is ended, politely or not.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';

/** How long a program may take to print its address, ms. */
const START_PATIENCE = 20_000;
/** How long it may take to end when asked to, ms. */
const STOP_PATIENCE = 40_000;
/** Ticks per second of /proc/PID/stat; 100 on every Linux that Node runs on. */
const TICKS = 100;

export interface Usage {
  /** CPU of the whole tree so far, µs. In steps of 10,000. */
  readonly cpu: number;
  /** The sum of the peaks of resident memory, bytes. */
  readonly peak: number;
}

export class Program {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  /** Resolves when the program has printed its address. Rejects with its output when it ends before that. */
  static async start(command: string, args: readonly string[], options: { cwd?: string; env?: object } = {}) {
    const env = { ...process.env, ...options.env };
    const child = spawn(command, args, { env, cwd: options.cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    const url = await addressOf(child).catch((error) => {
      child.kill('SIGKILL');
      throw new Error(`${command} ${args.join(' ')}: ${error.message}`);
    });
    return new Program(child, url);
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  /** Of the program and everything it has started. */
  usage(): Usage {
    let cpu = 0;
    let peak = 0;
    for (const pid of tree(this.#child.pid as number)) {
      const stat = statOf(pid);
      const status = read(`/proc/${pid}/status`);
      if (!stat || !status) continue; // it has just ended
      cpu += ((Number(stat[11]) + Number(stat[12])) / TICKS) * 1e6;
      peak += Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024;
    }
    return { cpu, peak };
  }

  async get<T>(path: string): Promise<T> {
    return (await (await fetch(this.url + path)).json()) as T;
  }

  async bytes(path: string): Promise<Uint8Array> {
    return new Uint8Array(await (await fetch(this.url + path)).arrayBuffer());
  }

  /** Asks it to end, and kills it when it does not. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const timer = setTimeout(() => void this.kill(), STOP_PATIENCE);
    this.#child.kill('SIGTERM');
    await once(this.#child, 'exit');
    clearTimeout(timer);
  }

  /** SIGKILL to the whole tree: no handler runs, nothing is written any more. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    // Children first: one that loses its parent may end by itself, and politely.
    for (const pid of tree(this.#child.pid as number).reverse()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
    await exited;
  }
}

/** The first address that a child prints. Its output is read for as long as it runs: a full pipe would stop it. */
function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = '';
    const fail = (why: string) => reject(new Error(`${why}\n${output}`));
    const timer = setTimeout(() => fail('printed no address'), START_PATIENCE);
    const look = (piece: Buffer) => {
      if (output.length > 10_000) return;
      output += piece;
      const found = /http:\/\/127\.0\.0\.1:\d+/.exec(output);
      if (!found) return;
      clearTimeout(timer);
      resolve(found[0]);
    };
    child.stdout?.on('data', look);
    child.stderr?.on('data', look);
    child.on('error', (error) => fail(error.message));
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      fail(`ended with ${signal ?? code}`);
    });
  });
}

/** A process and its descendants. */
function tree(root: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = statOf(Number(name));
    if (stat) parents.set(Number(name), Number(stat[1]));
  }
  const found = [root];
  for (const parent of found) {
    for (const [pid, its] of parents) if (its === parent) found.push(pid);
  }
  return found;
}

/** The fields of /proc/PID/stat from the third (state) on; the second, the name, may hold spaces. */
function statOf(pid: number): string[] | undefined {
  const text = read(`/proc/${pid}/stat`);
  return text?.slice(text.lastIndexOf(')') + 2).split(' ');
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
