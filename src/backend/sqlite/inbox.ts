/**
 * Adding jobs in the caller's own transaction: they are there exactly when the caller's rows are.
 *
 *   const inbox = sqliteInbox(db);          // the application's own connection, to the file that the jobs live in
 *   db.exec('BEGIN IMMEDIATE');
 *   db.prepare('INSERT INTO orders …').run(…);
 *   inbox.add([{ jobs: [job] }]);           // now, and in this transaction
 *   db.exec('COMMIT');                      // both, or neither
 *
 * The connection is one of `node:sqlite` or `better-sqlite3`. Servers learn of the jobs as they do of those that another
 * process adds: within a second of the commit.
 *
 * Each call of `add` reads the names of queues and jobs anew, because the caller may have rolled back what was read
 * before; and, being synchronous, it holds up its thread. Whoever has no transaction to share uses a backend.
 */
import { type Clock, systemClock } from '../../clock.ts';
import { MillraceError } from '../../errors.ts';
import type { AddGroup, AddResult } from '../backend.ts';
import { Ids } from '../ids.ts';
import type { Connection } from './connection.ts';
import { Ledger } from './ledger.ts';
import { schemaVersion } from './migrations.ts';
import { packAdd, toResult } from './pack.ts';

export type { Connection as InboxConnection, Statement as InboxStatement } from './connection.ts';

export interface SqliteInbox {
  /**
   * As `Backend.add`, inside the transaction that the connection is in; outside of one it is a transaction of its own.
   * Throws OPTION_INVALID, or the connection's error; then nothing of the call is left in the caller's transaction.
   */
  add(groups: readonly AddGroup[]): AddResult[];
}

export interface SqliteInboxOptions {
  /** Default: the system's. The backend's own, where that has another one. */
  readonly clock?: Clock;
}

/**
 * Throws NOT_A_DATABASE when the file has no tables of ours (a backend with `shared` makes them), SCHEMA_TOO_NEW or
 * BACKEND_UNAVAILABLE when they are of another version.
 */
export function sqliteInbox(connection: Connection, options: SqliteInboxOptions = {}): SqliteInbox {
  const { clock = systemClock } = options;
  const ids = new Ids(storeOf(connection));
  const ledger = new Ledger(connection);
  const store = (groups: readonly AddGroup[]) => {
    const request = packAdd(groups, ids, Math.ceil(clock.now()));
    ledger.reset();
    ledger.begin();
    const answer = ledger.adder.add(request);
    ledger.end(request.now);
    return answer.map((each, i) => toResult(each, groups[i]?.maxWaiting ?? 0, ids));
  };
  return { add: (groups) => whole(connection, () => store(groups)) };
}

/** Runs `body` so that it leaves nothing behind when it throws, whether a transaction is under way or not. */
function whole<T>(connection: Connection, body: () => T): T {
  connection.exec('SAVEPOINT millrace');
  try {
    const result = body();
    connection.exec('RELEASE millrace');
    return result;
  } catch (error) {
    // Some errors have ended the transaction already, and with it the savepoint.
    try {
      connection.exec('ROLLBACK TO millrace; RELEASE millrace');
    } catch {}
    throw error;
  }
}

/** The id of the store that lives in the connection's file. */
function storeOf(connection: Connection): string {
  const path = pathOf(connection);
  const table = connection
    .prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'millrace_store'")
    .get();
  if (table === undefined) {
    const reason = 'it has no tables for jobs yet; open a SqliteBackend with `shared` on it first';
    throw new MillraceError('NOT_A_DATABASE', { path, reason });
  }
  const { id, schema } = connection.prepare('SELECT id, schema FROM millrace_store').get() as {
    readonly id: string;
    readonly schema: number;
  };
  if (schema > schemaVersion) throw new MillraceError('SCHEMA_TOO_NEW', { path, found: schema, known: schemaVersion });
  if (schema < schemaVersion) {
    const reason = `its tables have schema ${schema}, which a SqliteBackend of this version brings to ${schemaVersion} as it opens`;
    throw new MillraceError('BACKEND_UNAVAILABLE', { backend: `sqlite:${path}`, reason });
  }
  return id;
}

function pathOf(connection: Connection): string {
  const main = connection.prepare('PRAGMA database_list').all() as { readonly name: string; readonly file: string }[];
  return main.find(({ name }) => name === 'main')?.file || ':memory:';
}
