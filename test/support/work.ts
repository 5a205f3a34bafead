/** `millrace work` as a child process: started, told, and ended by the tests of the whole house. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const classes = fileURLToPath(new URL('work-classes.ts', import.meta.url));

export class Work {
  readonly process: ChildProcess;
  /** Everything it wrote to standard output, and to standard error. */
  out = '';
  err = '';
  readonly #ended: Promise<number | null>;

  /** With the classes of work-classes.ts. */
  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const clean = { ...process.env };
    for (const name of ['REDIS_URL', 'REDIS_PROVIDER', 'MILLRACE_BACKEND']) delete clean[name];
    this.process = spawn(process.execPath, [main, 'work', `-require=${classes}`, ...args], {
      env: { ...clean, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.process.stdin?.on('error', () => undefined); // it may have ended
    this.process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.out += text;
    });
    this.process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.err += text;
    });
    this.#ended = once(this.process, 'close').then(([code]) => code as number | null);
  }

  /** Its exit code, when it has ended by itself. */
  get ended(): Promise<number | null> {
    return this.#ended;
  }

  /** What its classes said, a line each. */
  get said(): string[] {
    return this.out.split('\n').filter((line) => /^(said|shown|began|ended|link) /.test(line));
  }

  /** Resolves when it has written this. Rejects with all it wrote when it ends before. */
  async wrote(text: string | RegExp): Promise<void> {
    const has = () =>
      typeof text === 'string' ? (this.out + this.err).includes(text) : text.test(this.out + this.err);
    while (!has()) {
      const streams = [this.process.stdout, this.process.stderr] as NodeJS.ReadableStream[];
      const over = new AbortController();
      const more = streams.map((stream) => once(stream, 'data', { signal: over.signal }).catch(() => undefined));
      const end = this.#ended.then(() => 'ended');
      const first = await Promise.race([...more, end]);
      over.abort();
      if (first === 'ended' && !has()) throw new Error(`it has ended without "${text}":\n${this.out}\n${this.err}`);
    }
  }

  goOn(): void {
    this.process.stdin?.write('on\n');
  }

  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill('SIGKILL');
    await this.#ended;
  }
}
