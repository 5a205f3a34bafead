/**
 * Group commit: all calls that are there become one transaction.
 *
 *   call ─┐
 *   call ─┼─▶ BEGIN IMMEDIATE ─ each in turn ─ COMMIT ─▶ answers; the loop syncs, and sends them
 *   call ─┘          └──────── SQL error ───▶ ROLLBACK, then each call in a transaction of its own
 *
 * One sync of the disk for all of them is where the speed comes from. A call that SQLite refuses (the disk is full, say)
 * costs the others a second try, not their success; savepoints would cost every call of every transaction instead.
 */
import type { DatabaseSync } from 'node:sqlite';
import { MillraceError } from '../../errors.ts';
import { Claimer } from './claim.ts';
import { begin, type DatabaseOptions, rollback } from './database.ts';
import { Desk } from './desk.ts';
import { toWire, translate } from './failure.ts';
import { Ledger } from './ledger.ts';
import { Schedules } from './schedules.ts';
import { Search } from './search.ts';
import { Servers } from './servers.ts';
import { Settler } from './settle.ts';
import { Tidier } from './tidy.ts';
import type { Answer, Request } from './wire.ts';

/** A call, by the number that its answer carries. */
export type Call = Request & { readonly call: number };

/** These change nothing, so a transaction of only these needs no lock: they work on a full disk, and beside a writer. */
export const readers: ReadonlySet<Request['kind']> = new Set([
  'counts',
  'servers',
  'list',
  'orders',
  'schedules',
  'dueSchedules',
  'events',
]);

export class Committer {
  readonly #db: DatabaseSync;
  readonly #options: DatabaseOptions;
  readonly #ledger: Ledger;
  readonly #servers: Servers;
  readonly #claimer: Claimer;
  readonly #settler: Settler;
  readonly #search: Search;
  readonly #desk: Desk;
  readonly #schedules: Schedules;
  readonly #tidier: Tidier;

  constructor(db: DatabaseSync, options: DatabaseOptions) {
    this.#db = db;
    this.#options = options;
    const ledger = new Ledger(db);
    const { registry, jobs, lines, notes, journal } = ledger;
    this.#ledger = ledger;
    this.#servers = new Servers(db, jobs, notes);
    this.#claimer = new Claimer(db, registry, this.#servers, jobs, lines, journal);
    this.#settler = new Settler(db, registry, this.#servers, jobs, notes, journal);
    this.#search = new Search(db, registry, jobs, notes);
    this.#desk = new Desk(ledger, this.#servers, this.#search);
    this.#schedules = new Schedules(db, registry, ledger.adder);
    this.#tidier = new Tidier(db, ledger);
  }

  get registry(): Ledger['registry'] {
    return this.#ledger.registry;
  }

  /** Answers every call, in order. Never throws. */
  run(calls: readonly Call[]): Answer[] {
    try {
      return this.#transact(calls);
    } catch (error) {
      rollback(this.#db);
      this.#ledger.reset(); // what is in memory may never have been stored
      const failure = translate(error, this.#options.path);
      const isLocked = error instanceof MillraceError;
      if (calls.length > 1 && !isLocked) return calls.flatMap((call) => this.run([call]));
      return calls.map(({ call }) => ({ call, error: toWire(failure) }));
    }
  }

  #transact(calls: readonly Call[]): Answer[] {
    begin(this.#db, calls.every(({ kind }) => readers.has(kind)) ? 'read' : 'write', this.#options);
    this.#ledger.begin();
    let now = 0;
    const answers = calls.map((call) => {
      if ('now' in call && call.kind !== 'beat') now = call.now; // beats keep to the machine's clock
      return this.#answer(call);
    });
    this.#ledger.end(now);
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
        return this.#ledger.adder.add(request);
      case 'claim':
        return this.#claimer.claim(request);
      case 'settle':
        return this.#settler.settle(request);
      case 'report':
        return this.#settler.report(request.server, request.reports, request.now);
      case 'beat':
        return this.#servers.beat(request.server, request.now);
      case 'leave':
        return this.#servers.leave(request.server, request.now);
      case 'rescue':
        return this.#servers.rescue(request.lease, request.now);
      case 'orders':
        return this.#servers.orders(request.server);
      case 'servers':
        return this.#servers.list();
      case 'tidy':
        return this.#tidier.tidy(request.now);
      case 'putSchedule':
        return this.#schedules.put(request.schedule);
      case 'removeSchedule':
        return this.#schedules.remove(request.key);
      case 'schedules':
        return this.#schedules.list();
      case 'dueSchedules':
        return this.#schedules.due(request.now, request.limit);
      case 'fire':
        return this.#schedules.fire(request);
      case 'counts':
        return this.#desk.counts();
      case 'list':
        return this.#search.list(request.filter, request.page);
      case 'act':
        return this.#desk.act(request.action, request.filter, request.page, request.now);
      case 'update':
        return this.#desk.update(request.changes, request.now);
      case 'configure':
        return this.#desk.configure(request.queue, request.change);
      case 'events':
        return this.#ledger.journal.read(request.after, request.limit);
    }
  }
}
