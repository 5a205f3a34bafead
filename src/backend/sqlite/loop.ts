/**
 * Takes what has arrived, commits it together, answers, and looks again.
 *
 *   calls ─▶ commit ─▶ claims are answered ─▶ the log is synced ─▶ adds, ends and all others are answered
 *
 * While the disk works the next calls gather in the port: that is all the scheduling there is.
 *
 * A claim, a beat or a report need not wait for the disk, because nobody was told that a job is stored or has ended. So a job
 * may be running while the answer to its add is on the way. A power cut that undoes a claim ends the process that made it,
 * too, and finds the job where it was.
 */
import type { DatabaseSync } from 'node:sqlite';
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { Hearts } from '../hearts.ts';
import { type Call, Committer, readers } from './committer.ts';
import type { DatabaseOptions } from './database.ts';
import { toWire, translate } from './failure.ts';
import { Wal } from './wal.ts';
import { Watch } from './watch.ts';
import {
  type Answer,
  type Control,
  type FromThread,
  type Heard,
  type Request,
  type ToThread,
  transfers,
} from './wire.ts';

/** What these did may be undone by a power cut. */
const undoable: ReadonlySet<Request['kind']> = new Set([
  ...readers,
  'claim',
  'report',
  'beat',
  'leave',
  'rescue',
  'tidy',
]);

export class Loop {
  readonly #port: MessagePort;
  readonly #db: DatabaseSync;
  readonly #options: DatabaseOptions;
  readonly #committer: Committer;
  readonly #wal: Wal;
  readonly #hearts: Hearts;
  /** Only while somebody listens. */
  readonly #watch: Watch;

  constructor(port: MessagePort, db: DatabaseSync, options: DatabaseOptions) {
    this.#port = port;
    this.#db = db;
    this.#options = options;
    this.#committer = new Committer(db, options);
    this.#committer.registry.attend();
    this.#wal = new Wal(db, options.path);
    this.#watch = new Watch({ log: `${options.path}-wal`, look: () => this.#look() });
    // A beat that fails is made good by the next one; the answer, numbered as nobody's, is dropped.
    this.#hearts = new Hearts((server) => this.#run([{ kind: 'beat', server, now: Date.now(), call: -1 }]));
    port.on('message', (message: ToThread) => this.#take(message));
  }

  #take(first: ToThread): void {
    const calls: Call[] = [];
    let message: ToThread | undefined = first;
    while (message) {
      if ('call' in message) calls.push(message);
      // Leaving ends the heart first, or its next beat would register the server again.
      if (message.kind === 'leave') this.#hearts.stop(message.server);
      if (!('call' in message)) {
        this.#run(calls.splice(0));
        this.#control(message);
      }
      message = (receiveMessageOnPort(this.#port) as { message: ToThread } | undefined)?.message;
    }
    this.#run(calls);
  }

  #run(calls: readonly Call[]): void {
    if (calls.length === 0) return;
    const answers = this.#committer.run(calls);
    const heard = this.#committer.registry.takeHeard();
    const { synchronous } = this.#options;
    if (synchronous === 'normal' || calls.every(({ kind }) => undoable.has(kind))) {
      this.#send(answers, heard);
    } else {
      const isSoon = (_: unknown, i: number) => calls[i]?.kind === 'claim';
      const soon = answers.filter(isSoon);
      if (soon.length > 0) this.#send(soon, heard);
      const late = soon.length > 0 ? answers.filter((_, i) => !isSoon(_, i)) : answers;
      this.#send(this.#synced(late), soon.length > 0 ? undefined : heard);
    }
    this.#wal.committed();
    // Beats and polls that find nothing are no work.
    if (heard || !calls.every(({ kind }) => undoable.has(kind))) this.#watch.committed();
  }

  /** The answers, once they are true; when the disk refuses, nobody can say whether they are. */
  #synced(answers: readonly Answer[]): readonly Answer[] {
    try {
      this.#wal.sync();
      return answers;
    } catch (error) {
      const failure = toWire(translate(error, this.#options.path));
      return answers.map(({ call }) => ({ call, error: failure }));
    }
  }

  #control(control: Control): void {
    switch (control.kind) {
      case 'heart':
        this.#hearts.start(control.server, control.options);
        return;
      case 'listen':
        if (control.on) this.#watch.start();
        else this.#watch.stop();
        return;
      case 'close':
        this.#hearts.stopAll();
        this.#watch.stop();
        this.#wal.stop();
        this.#db.close();
        this.#port.close();
    }
  }

  /** What another process committed may be of interest to this one; an empty call reads the small tables and finds out. */
  #look(): boolean {
    const isStale = this.#committer.registry.isStale();
    if (isStale) this.#run([{ kind: 'counts', call: -1 }]);
    return isStale;
  }

  #send(all: readonly Answer[], heard: Heard | undefined): void {
    const answers = all.filter(({ call }) => call >= 0);
    if (answers.length === 0 && !heard) return;
    const moved = answers.flatMap((answer) => ('value' in answer ? transfers(answer.value) : []));
    this.#port.postMessage({ kind: 'answers', answers, heard } satisfies FromThread, moved);
  }
}
