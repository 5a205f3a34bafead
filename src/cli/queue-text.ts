/**
 * The queues of a worker, as goworker's `-queues` has them.
 *
 *   high,low        strict: low only when high is empty
 *   high=2,low=1    weights: high comes first in two looks of three; a name without a number has 1
 *
 * One `=` anywhere makes all of it weights. An empty name is passed over, as is one with a weight of 0 or less; a
 * name that comes twice counts once in a list and with the sum of its weights otherwise, which is what it comes to there. Unlike
 * there, blanks around names and numbers are not part of them.
 */
import type { Queues } from '../server/queues.ts';
import { Expected, type Flag } from './flags.ts';

export function queueText(flag: Pick<Flag<unknown>, 'env' | 'help'>): Flag<Queues | undefined> {
  return { ...flag, value: 'LIST', default: undefined, parse: parseQueues };
}

/** Throws `Expected`. */
export function parseQueues(text: string): Queues {
  const weights = new Map<string, number>();
  for (const part of text.split(',')) {
    const [, name = '', amount] = /^([^=]*)(?:=(.*))?$/s.exec(part)?.map((each) => each?.trim()) ?? [];
    if (name === '') continue;
    // In Resque these mean other queues than one of this name; taken literally they would wait for jobs that never come.
    if (/^!|\*/.test(name)) throw new Expected('names of queues, of which none has a * or begins with !');
    if (amount !== undefined && !/^[+-]?\d+$/.test(amount)) {
      throw new Expected('names with integers as weights, such as high=2,low=1');
    }
    const weight = Number(amount ?? 1);
    if (weight > 0) weights.set(name, (weights.get(name) ?? 0) + weight);
  }
  if (weights.size === 0) throw new Expected('at least one queue');
  return text.includes('=') ? Object.fromEntries(weights) : [...weights.keys()];
}
