/** Ruby's Sidekiq as a peer: a console for its API, and processes that work. Whoever starts one stops it. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('./sidekiq.rb', import.meta.url));

/** Another Sidekiq than the installed one is found through RUBYLIB, and what it needs through RUBYOPT. */
const found = spawnSync('ruby', ['-e', 'require "set"; require "sidekiq"; print Sidekiq::VERSION'], {
  encoding: 'utf8',
});

/** `6.4.1`; undefined where there is none. */
export const sidekiqVersion = found.status === 0 ? found.stdout : undefined;

/** Why the live tests are left out; undefined when they are not. */
export const sidekiqMissing =
  sidekiqVersion === undefined
    ? 'NO RUBY SIDEKIQ: the tests with live peers are left out. Get it with: sh scripts/install-ruby-sidekiq.sh'
    : undefined;

/** The version whose form of times it writes. */
export const sidekiqMajor = Number.parseInt(sidekiqVersion ?? '6', 10) as 6 | 7 | 8;

export class RubyConsole {
  readonly #child: ChildProcess;
  readonly #answers: AsyncGenerator<string, void>;

  constructor(url: string) {
    this.#child = spawn('ruby', [program, 'console'], {
      env: { ...process.env, REDIS_URL: `${url}/0` },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    this.#answers = linesOf(this.#child.stdout as NodeJS.ReadableStream);
  }

  /** The value of an expression of Ruby; one at a time. */
  async run<T = unknown>(code: string): Promise<T> {
    this.#child.stdin?.write(`${JSON.stringify(code)}\n`);
    for (;;) {
      const { value: line, done } = await this.#answers.next();
      if (done || line === undefined) throw new Error('the Ruby console has ended');
      if (!line.startsWith('{"')) continue; // a log line of Sidekiq
      const answer = JSON.parse(line) as { value: T } | { error: string };
      if ('error' in answer) throw new Error(`${answer.error}, in ${code}`);
      return answer.value;
    }
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'close');
    this.#child.stdin?.end();
    await ended;
  }
}

/** Unlike `readline`, which takes U+2028 for the end of a line too. */
async function* linesOf(stream: NodeJS.ReadableStream): AsyncGenerator<string, void> {
  let text = '';
  stream.setEncoding('utf8');
  for await (const piece of stream) {
    const lines = (text + piece).split('\n');
    text = lines.pop() ?? '';
    yield* lines;
  }
}

export class RubyProcess {
  readonly #child: ChildProcess;
  #log = '';

  /** @param args as `sidekiq` takes them */
  constructor(url: string, args: readonly string[] = ['-c', '2', '-q', 'default']) {
    this.#child = spawn('ruby', [program, 'work', '-e', 'test', ...args], {
      env: { ...process.env, REDIS_URL: `${url}/0` },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#log += text;
      });
    }
  }

  /** What it has printed. */
  get log(): string {
    return this.#log;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, 'close');
    this.#child.kill('SIGTERM');
    await ended;
  }
}
