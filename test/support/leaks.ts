/**
 * Fails a test file that leaves something running: a socket, a timer, a child process, a thread.
 *
 * Preloaded into every test file by scripts/test.js. When the last test of the file and all its `after` hooks are done,
 * what still keeps the process alive is a leak. Handles may take a moment to close, so it looks again for a while.
 * Handles that were unref'd do not count; threads count always.
 */
import { AsyncResource } from 'node:async_hooks';
import { after } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { isMainThread, type Worker } from 'node:worker_threads';

/** How long closing may take after the last test, ms. */
const PATIENCE = 1000;

const threads = new Set<Worker>();

/** What keeps this process alive, by kind; empty when nothing does. Called in a timer, which is then not counted. */
function leftovers(): string[] {
  const resources = process.getActiveResourcesInfo();
  // The runner reads stdout and stderr of this process through pipes.
  for (const own of ['PipeWrap', 'PipeWrap']) {
    const index = resources.indexOf(own);
    if (index >= 0) resources.splice(index, 1);
  }
  return [...resources.filter((kind) => kind !== 'TTYWrap'), ...Array.from(threads, () => 'Worker')];
}

async function checkForLeaks(): Promise<void> {
  const deadline = performance.now() + PATIENCE;
  let left: string[];
  do {
    await pause(5);
    left = leftovers();
  } while (left.length > 0 && performance.now() < deadline);
  if (left.length === 0) return;

  // The failure is told either way; without this the leak would also hold the run until its timeout.
  setTimeout(() => process.exit(1), 500);
  throw new Error(`${process.argv[1]} leaves running: ${count(left)}`);
}

function count(kinds: string[]): string {
  const numbers = new Map<string, number>();
  for (const kind of kinds) numbers.set(kind, (numbers.get(kind) ?? 0) + 1);
  return Array.from(numbers, ([kind, n]) => `${n} × ${kind}`).join(', ');
}

// Not in threads, nor in processes that a test forks: they inherit the preload, but are not a test file.
if (isMainThread && process.env.NODE_TEST_CONTEXT && process.argv[1]?.endsWith('.test.ts')) {
  process.on('worker', (thread) => {
    threads.add(thread);
    thread.once('exit', () => threads.delete(thread));
  });
  // Hooks run in the order they were made, and this one is made before the file's own. So it only makes the real one,
  // which then is the last; bound to this place because a hook made inside a hook would be that hook's.
  after(AsyncResource.bind(() => after(checkForLeaks)));
}
