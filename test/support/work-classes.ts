/** What the tests of `millrace work` run: says on standard output what it does, and can be held until it is told to go on. */
import { once } from 'node:events';
import { Client, openBackend, workerClass } from '../../src/index.ts';

const say = (...words: unknown[]) => console.log(...words);

export function Say(queue: string, ...args: unknown[]): void {
  say('said', queue, ...args);
}

/** Its kind and its digits. */
export function Show(_queue: string, value: unknown): void {
  say('shown', typeof value, String(value));
}

export function Panic(): never {
  throw new Error('try{}exception{}');
}

/** Begins, and ends when a line comes in. */
export async function Hold(_queue: string, name: string): Promise<void> {
  say('began', name);
  await once(process.stdin, 'data');
  process.stdin.destroy();
  say('ended', name);
}

/** Enqueues the next of them, down to 0. */
export const chain = workerClass('Chain::Link', async (queue, url: string, left: number) => {
  say('link', left);
  if (left === 0) return;
  const backend = await openBackend(url);
  const client = new Client({ backend });
  await client.enqueue(workerClass('Chain::Link'), [url, left - 1], { queue });
  await client.close();
  await backend.close();
});
