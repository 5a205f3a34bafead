/**
 * The thread that owns the connection. Takes what has arrived, commits it together, answers, and looks again.
 *
 * While a commit waits for the disk the next calls gather in the port: that is all the scheduling there is.
 */
import type { DatabaseSync } from 'node:sqlite';
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { Committer } from './committer.ts';
import { type DatabaseOptions, openDatabase } from './database.ts';
import { toWire, translate } from './failure.ts';
import { Hearts } from './heart.ts';
import { Wal } from './wal.ts';
import { Watch } from './watch.ts';
import { type Control, type FromThread, type Request, type ToThread, transfers } from './wire.ts';

type Call = Request & { readonly call: number };

class Loop {
  readonly #port: MessagePort;
  readonly #db: DatabaseSync;
  readonly #committer: Committer;
  readonly #wal: Wal;
  readonly #hearts: Hearts;
  /** Only while somebody listens. */
  readonly #watch: Watch;

  constructor(port: MessagePort, db: DatabaseSync, options: DatabaseOptions) {
    this.#port = port;
    this.#db = db;
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
    const answers = this.#committer.run(calls).filter(({ call }) => call >= 0);
    const heard = this.#committer.registry.takeHeard();
    if (answers.length > 0 || heard) {
      const moved = answers.flatMap((answer) => ('value' in answer ? transfers(answer.value) : []));
      this.#send({ kind: 'answers', answers, heard }, moved);
    }
    this.#wal.committed();
    this.#watch.committed();
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

  #send(message: FromThread, moved: readonly ArrayBuffer[] = []): void {
    this.#port.postMessage(message, moved);
  }
}

function start(port: MessagePort, options: DatabaseOptions): void {
  try {
    const db = openDatabase(options);
    const { id } = db.prepare('SELECT id FROM millrace_store').get() as { id: string };
    new Loop(port, db, options);
    port.postMessage({ kind: 'open', store: id } satisfies FromThread);
  } catch (error) {
    port.postMessage({ kind: 'failed', error: toWire(translate(error, options.path)) } satisfies FromThread);
    port.close();
  }
}

start(parentPort as MessagePort, workerData as DatabaseOptions);
