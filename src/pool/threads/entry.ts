/**
 * The file a thread of the crew starts with: imports the user's module, says that it is ready, then bodies.ts takes over.
 *
 * Whatever goes wrong on the way is told to the main thread as the reason why this thread did not start.
 */
import { parentPort } from 'node:worker_threads';
import { show } from '../../errors.ts';
import { Bodies } from './bodies.ts';
import type { ThreadWorker } from './context.ts';
import { Slots } from './slots.ts';
import type { FromThread, Init } from './wire.ts';
import { packError } from './wire-error.ts';

parentPort?.once('message', (init: Init) => void start(init));

async function start({ port, module, shared, size, concurrency, heap }: Init): Promise<void> {
  const say = (message: FromThread) => port.postMessage(message);
  try {
    const body = toBody(await import(module));
    const heapUsed = heap ? await heapMeter() : undefined;
    const bodies = new Bodies({ port, slots: new Slots(size, shared), concurrency, body, heap: heapUsed });
    process.on('exit', () => bodies.flush());
    // A payload that cannot be read here would be a job that never ends; so this thread does.
    port.on('messageerror', (error) => {
      throw error;
    });
    say({ kind: 'ready' });
  } catch (error) {
    say({ kind: 'failed', error: packError(error) });
  }
}

/** The default export; of CommonJS compiled from ESM, the default export inside it. */
function toBody(module: { default?: unknown }): ThreadWorker {
  const given = module.default;
  const body = typeof given === 'object' && given !== null && 'default' in given ? given.default : given;
  if (typeof body === 'function') return body as ThreadWorker;
  throw new TypeError(`its default export should be a function, got ${show(body)}`);
}

async function heapMeter(): Promise<() => number> {
  const { getHeapStatistics } = await import('node:v8');
  return () => getHeapStatistics().used_heap_size;
}
