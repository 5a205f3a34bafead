/**
 * Group commit: all calls that are there become one transaction, and are answered when it is on the disk.
 *
 *   call ─┐
 *   call ─┼─▶ BEGIN IMMEDIATE ─ each in turn ─ COMMIT ─▶ answers
 *   call ─┘          └──────── SQL error ───▶ ROLLBACK, then each call in a transaction of its own
 *
 * One sync of the disk for all of them is where the speed comes from. A call that SQLite refuses (the disk is full, say)
 * costs the others a second try, not their success; savepoints would cost every call of every transaction instead.
 */
import type { DatabaseSync } from 'node:sqlite';
import { MillraceError } from '../../errors.ts';
import { begin, type DatabaseOptions, rollback } from './database.ts';
import { Desk } from './desk.ts';
import { toWire, translate } from './failure.ts';
import { Registry } from './registry.ts';
import { Servers } from './servers.ts';
import { Store } from './store.ts';
import type { Answer, Request } from './wire.ts';

type Call = Request & { readonly call: number };

/** These change nothing, so a transaction of only these needs no lock: they work on a full disk, and beside a writer. */
const readers: ReadonlySet<Request['kind']> = new Set(['counts', 'servers', 'list']);

export class Committer {
  readonly registry: Registry;
  readonly #db: DatabaseSync;
  readonly #options: DatabaseOptions;
  readonly #servers: Servers;
  readonly #store: Store;
  readonly #desk: Desk;

  constructor(db: DatabaseSync, options: DatabaseOptions) {
    this.#db = db;
    this.#options = options;
    this.registry = new Registry(db);
    this.#servers = new Servers(db, this.registry);
    this.#store = new Store(db, this.registry, this.#servers);
    this.#desk = new Desk(db, this.registry);
  }

  /** Answers every call, in order. Never throws. */
  run(calls: readonly Call[]): Answer[] {
    try {
      return this.#transact(calls);
    } catch (error) {
      rollback(this.#db);
      this.registry.reset(); // what is in memory may never have been stored
      const failure = translate(error, this.#options.path);
      const isLocked = error instanceof MillraceError;
      if (calls.length > 1 && !isLocked) return calls.flatMap((call) => this.run([call]));
      return calls.map(({ call }) => ({ call, error: toWire(failure) }));
    }
  }

  #transact(calls: readonly Call[]): Answer[] {
    begin(this.#db, calls.every(({ kind }) => readers.has(kind)) ? 'read' : 'write', this.#options);
    this.registry.refresh();
    const answers = calls.map((call) => this.#answer(call));
    this.registry.save();
    this.#db.exec('COMMIT');
    return answers;
  }

  /** A call that is refused has changed nothing, so the transaction goes on; an error of SQLite ends it. */
  #answer(call: Call): Answer {
    try {
      return { call: call.call, value: this.#perform(call) };
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error;
      return { call: call.call, error: toWire(error) };
    }
  }

  #perform(request: Request): unknown {
    switch (request.kind) {
      case 'add':
        return this.#store.add(request);
      case 'claim':
        return this.#store.claim(request);
      case 'settle':
        return this.#store.settle(request);
      case 'beat':
        return this.#servers.beat(request.server, request.now);
      case 'leave':
        return this.#servers.leave(request.server);
      case 'rescue':
        return this.#servers.rescue(request.lease, request.now);
      case 'servers':
        return this.#servers.list();
      case 'counts':
        return this.#desk.counts();
      case 'list':
        return this.#desk.list(request.filter, request.limit);
      case 'retry':
        return this.#desk.retry(request.filter, request.now);
      case 'cancel':
        return this.#desk.cancel(request.filter, request.reason, request.now);
      case 'remove':
        return this.#desk.remove(request.filter);
      case 'pause':
        return this.#desk.pause(request.queue, request.paused);
    }
  }
}
