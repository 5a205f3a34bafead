/** The thread that owns the connection: opens the file, says which store it is, and runs the loop. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { type DatabaseOptions, openDatabase } from './database.ts';
import { toWire, translate } from './failure.ts';
import { Loop } from './loop.ts';
import type { FromThread } from './wire.ts';

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
