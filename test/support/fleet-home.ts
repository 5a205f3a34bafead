/** Starts and ends the processes of a fleet for one test, and reads what they say. */
import { type ChildProcess, fork } from 'node:child_process';
import { EventEmitter, on, once } from 'node:events';
import { appendFileSync, type FSWatcher, readFileSync, watch } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Backend, Client, Inspector, type JobEvent, openBackend } from '../../src/index.ts';
import { type Line, type ServerSays, type Word, write } from './fleet.ts';

const program = fileURLToPath(new URL('fleet.ts', import.meta.url));

/** Longest that anything a test waits for may take, ms. */
const DEADLINE = 15_000;

/** From the folder of a test, which only that test has, to the URL of its backend. */
export type Place = (folder: string) => string;

export interface Heard extends Word {
  /** By `performance.now()`. */
  readonly at: number;
}

export class Member {
  readonly process: ChildProcess;
  readonly pid: number;
  readonly #heard: Heard[] = [];
  readonly #ears = new EventEmitter();

  constructor(process: ChildProcess) {
    this.process = process;
    this.pid = process.pid as number;
    process.on('message', (word: Word) => {
      this.#heard.push({ ...word, at: performance.now() });
      this.#ears.emit('word');
    });
  }

  /** The first word of the kind, said already or yet to come. */
  async hear(said: Word['said'], job?: string): Promise<Heard> {
    const signal = AbortSignal.timeout(DEADLINE);
    for (;;) {
      const word = this.#heard.find((each) => each.said === said && (job === undefined || each.job === job));
      if (word) return word;
      await once(this.#ears, 'word', { signal });
    }
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exit = once(this.process, 'exit');
    this.process.kill(signal);
    await exit;
  }
}

export class Fleet {
  readonly url: string;
  readonly backend: Backend;
  readonly client: Client;
  readonly inspector: Inspector;
  readonly #folder: string;
  readonly #journal: string;
  readonly #watcher: FSWatcher;
  readonly #members: Member[] = [];

  private constructor(folder: string, url: string, backend: Backend) {
    this.#folder = folder;
    this.url = url;
    this.backend = backend;
    this.client = new Client({ backend });
    this.inspector = new Inspector({ backend });
    this.#journal = join(folder, 'journal');
    appendFileSync(this.#journal, '');
    this.#watcher = watch(this.#journal);
  }

  /** Ended with the test. */
  static async found(t: TestContext, place: Place): Promise<Fleet> {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-fleet-'));
    const url = place(folder);
    const fleet = new Fleet(folder, url, await openBackend(url));
    t.after(() => fleet.#end());
    return fleet;
  }

  /** What all processes wrote, in the order in which they did. */
  get lines(): readonly Line[] {
    const text = readFileSync(this.#journal, 'utf8');
    return text
      .slice(0, text.lastIndexOf('\n') + 1)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Line);
  }

  server(options: ServerSays = {}): Promise<Member> {
    return this.#member('server', options);
  }

  servers(count: number, options: ServerSays = {}): Promise<Member[]> {
    return Promise.all(Array.from({ length: count }, () => this.server(options)));
  }

  producers(count: number, options: ServerSays = {}): Promise<Member[]> {
    return Promise.all(Array.from({ length: count }, () => this.#member('producer', options)));
  }

  /** The journal knows it before the process does. */
  async kill(member: Member): Promise<void> {
    write(this.#journal, { what: 'kill', pid: member.pid, job: '' });
    await member.end('SIGKILL');
  }

  /** Resolves to what `look` finds in the journal, looking whenever somebody has written. */
  async read<T>(look: (lines: readonly Line[]) => T | undefined | false): Promise<T> {
    const changes = on(this.#watcher, 'change', { signal: AbortSignal.timeout(DEADLINE) });
    try {
      for (;;) {
        const found = look(this.lines);
        if (found !== undefined && found !== false) return found;
        await changes.next();
      }
    } finally {
      await changes.return?.();
    }
  }

  /** Resolves to the first event that `look` accepts, from the first that is kept. */
  async event(look: (event: JobEvent) => boolean): Promise<JobEvent> {
    const signal = AbortSignal.timeout(DEADLINE);
    for await (const event of this.inspector.events({ after: 0, signal })) {
      if (event.kind !== 'missed' && look(event)) return event;
    }
    throw signal.reason;
  }

  /** All events that are kept. */
  async events(): Promise<readonly JobEvent[]> {
    const all: JobEvent[] = [];
    for (let after = 0; ; ) {
      const { events, last } = await this.backend.events(after);
      if (events.length === 0) return all;
      all.push(...events);
      after = last;
    }
  }

  async #member(role: string, options: object = {}): Promise<Member> {
    const member = new Member(fork(program, [this.url, this.#journal, role, JSON.stringify(options)]));
    this.#members.push(member);
    await member.hear('ready');
    return member;
  }

  async #end(): Promise<void> {
    this.#watcher.close();
    await Promise.all(this.#members.map((member) => member.end('SIGKILL')));
    await this.client.close();
    await this.backend.close();
    await rm(this.#folder, { recursive: true });
  }
}
