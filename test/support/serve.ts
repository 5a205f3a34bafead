/** `millrace serve` as a child process: started, asked, and ended by the tests of the whole house. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

export class Serve {
  readonly url: string;
  readonly process: ChildProcess;
  /** What it said of itself when it began. */
  readonly banner: string;
  readonly #stderr: string[];

  private constructor(child: ChildProcess, url: string, banner: string, stderr: string[]) {
    this.process = child;
    this.banner = banner;
    this.url = url;
    this.#stderr = stderr;
  }

  /** Resolves when the banner has told the address. Rejects with what it wrote when it ends before that. */
  static async start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Serve> {
    const child = spawn(process.execPath, [main, 'serve', ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const stderr: string[] = [];
    child.stderr.setEncoding('utf8').on('data', (text: string) => stderr.push(text));
    let banner = '';
    const url = await new Promise<string>((resolve, reject) => {
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        banner += text;
        const [, address] = /listens on (http:\/\/\S+?)[\s,]/.exec(banner) ?? [];
        if (address) resolve(address);
      });
      child.once('exit', (code) => reject(new Error(`serve ended with ${code}: ${stderr.join('')}`)));
    });
    return new Serve(child, url, banner, stderr);
  }

  /** `--no-door` prints no address; what it does shows elsewhere. */
  static startWithoutDoor(args: readonly string[]): ChildProcess {
    return spawn(process.execPath, [main, 'serve', '--no-door', ...args], { stdio: 'ignore' });
  }

  get port(): string {
    return new URL(this.url).port;
  }

  /** Everything it wrote to standard error. */
  get log(): string {
    return this.#stderr.join('');
  }

  /** Resident memory now, in bytes (Linux). */
  get rss(): number {
    const status = readFileSync(`/proc/${this.process.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024;
  }

  post(payloads: readonly unknown[], headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    return fetch(`${this.url}/payloads`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ data: payloads }),
    });
  }

  /** The value of a metric; NaN when it is not shown. The jobs' numbers are a second old at most. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1) ?? Number.NaN);
  }

  /** Asks for the metric again and again until it is `value`. Each question is a round trip; nothing sleeps. */
  async until(name: string, value: number): Promise<void> {
    while ((await this.metric(name)) !== value);
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return this.process.exitCode;
    const exit = once(this.process, 'exit');
    this.process.kill(signal);
    const [code] = await exit;
    return code as number | null;
  }
}
