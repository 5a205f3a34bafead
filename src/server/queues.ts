/** In which order a claim looks at the queues. */
import { assertOption } from '../errors.ts';

/**
 * A list is strict: a queue is served only when those before it are empty. A record of weights is a lottery: with
 * `{ mail: 3, reports: 1 }` mail comes first in three claims of four, and neither can starve the other.
 */
export type Queues = readonly string[] | Readonly<Record<string, number>>;

/** Returns a function that gives the order for the next claim. */
export function queueOrder(queues: Queues, random: () => number): () => readonly string[] {
  if (Array.isArray(queues)) {
    assertOption('queues', queues, queues.length > 0 && new Set(queues).size === queues.length, 'distinct queue names');
    const strict = queues as readonly string[];
    return () => strict;
  }
  const weights = Object.entries(queues as Record<string, number>);
  assertOption('queues', queues, weights.length > 0, 'at least one queue');
  for (const [queue, weight] of weights) assertOption(`queues.${queue}`, weight, weight > 0, 'a weight above 0');
  return () => lottery(weights, random);
}

export function queueNames(queues: Queues): readonly string[] {
  return Array.isArray(queues) ? queues : Object.keys(queues);
}

/** Of a server that was not told: those of its jobs, with equal weights; `default` when there is none. */
export function queuesOf(jobs: Iterable<{ readonly queue: string }>): Queues {
  const weights = Object.fromEntries(Array.from(jobs, ({ queue }) => [queue, 1]));
  return Object.keys(weights).length > 0 ? weights : { default: 1 };
}

/**
 * Weighted random order: sorting by u^(1/w) descending draws without replacement in proportion to the weights
 * (Efraimidis and Spirakis, 2006).
 */
function lottery(weights: readonly (readonly [string, number])[], random: () => number): readonly string[] {
  return weights
    .map(([queue, weight]) => ({ queue, ticket: random() ** (1 / weight) }))
    .sort((a, b) => b.ticket - a.ticket)
    .map(({ queue }) => queue);
}
