/**
 * From the modules that a command line names to the worker classes in them.
 *
 *   export async function Mail(queue: string, to: string) { … }          a class of that name
 *   export { send as 'Mail::Sender' };                                   a name that no function of JavaScript can have
 *   export const Pay = workerClass('Billing::Pay', …, { maxAttempts: 3 });   what has a name of its own and its own options
 *   export default { 'Mail::Sender': send };                             all of it in one object
 *
 * Whatever else a module exports is passed over, its JavaScript classes too; what was found is shown at the start. Loading a
 * module runs it: that is the moment to connect to a database.
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { assertOption } from '../errors.ts';
import type { JobDefinition } from '../job/job.ts';
import { type WorkerBody, type WorkerClassOptions, workerClass } from '../job/worker-class.ts';

/** @param options of the functions; a definition has its own. Throws OPTION_INVALID, and what a module throws */
export async function loadWorkerClasses(
  paths: readonly string[],
  options: WorkerClassOptions = {},
): Promise<readonly JobDefinition[]> {
  const all: JobDefinition[] = [];
  for (const path of paths) {
    const found = [...classesIn(await load(path), path, options)];
    assertOption('--require', path, found.length > 0, 'a module that exports functions or jobs');
    all.push(...found);
  }
  return all;
}

async function load(path: string): Promise<object> {
  const { href } = pathToFileURL(resolve(path));
  try {
    return (await import(href)) as object;
  } catch (error) {
    // Only the module itself: when it is there and one that it imports is not, its own message says more.
    const { code, url } = error as { code?: unknown; url?: unknown };
    const isMissing = code === 'ERR_MODULE_NOT_FOUND' || code === 'ERR_UNSUPPORTED_DIR_IMPORT';
    assertOption('--require', path, !isMissing || url !== href, 'the file of a module');
    throw error;
  }
}

function* classesIn(
  exports: object,
  path: string,
  options: WorkerClassOptions,
  seen = new Set<unknown>(),
): Iterable<JobDefinition> {
  for (const [name, value] of Object.entries(exports)) {
    if (seen.has(value)) continue; // CommonJS shows what it exports more than once
    seen.add(value);
    if (isDefinition(value)) yield value;
    else if (name === 'default' || name === 'module.exports') {
      assertOption('--require', path, typeof value !== 'function', 'a module whose functions are exported by name');
      if (typeof value === 'object' && value !== null) yield* classesIn(value, path, options, seen);
    } else if (isWorker(value)) yield workerClass(name, value, options);
  }
}

function isDefinition(value: unknown): value is JobDefinition {
  const { name, codec, handler } = (value ?? {}) as Partial<JobDefinition>;
  return typeof name === 'string' && typeof codec === 'object' && typeof handler === 'object';
}

function isWorker(value: unknown): value is WorkerBody {
  return typeof value === 'function' && !/^class\b/.test(Function.prototype.toString.call(value));
}
