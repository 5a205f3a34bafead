/**
 * The part of an SQLite connection that `node:sqlite` and `better-sqlite3` have in common: what adding jobs needs, so that
 * it can be done inside a transaction of the caller's own connection, see `inbox.ts`.
 */
export type Value = string | number | null | Uint8Array;

export interface Statement {
  run(...values: Value[]): { readonly changes: number | bigint; readonly lastInsertRowid: number | bigint };
  get(...values: Value[]): unknown;
  all(...values: Value[]): unknown[];
}

export interface Connection {
  prepare(sql: string): Statement;
  exec(sql: string): unknown;
}

/** Bytes to be stored. Those that have no address Node 22 would store as NULL. */
export function blob(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength > 0 ? bytes : new Uint8Array(1).subarray(1);
}
