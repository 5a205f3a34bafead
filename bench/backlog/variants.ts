/** What may make a long line dearer than a short one: how the jobs in it differ. */
import type { NewJob } from '../../src/backend/backend.ts';
import { letterOf } from '../letters.ts';

export interface Variant {
  readonly title: string;
  /** The `number`th job that is added. */
  job(number: number): NewJob;
  /** As many jobs again lie beside the line, for tomorrow. */
  readonly scheduled?: boolean;
}

export const QUEUE = 'backlog';

/** One for all: what bytes cost is not the question here. */
const payload = Buffer.from(JSON.stringify(letterOf(0)));
const plain: NewJob = { queue: QUEUE, name: 'letter', payload, priority: 4, maxAttempts: 25 };

const withKeys = (keys: number): Variant => ({
  title: `${keys.toLocaleString('en')} keys in turn, one job of each at a time`,
  job: (number) => ({ ...plain, key: `tenant ${number % keys}` }),
});

export const variants: Readonly<Record<string, Variant>> = {
  fifo: { title: 'first in, first out', job: () => plain },
  priorities: { title: 'ten priorities', job: (number) => ({ ...plain, priority: number % 10 }) },
  'keys-1000': withKeys(1_000),
  'keys-100000': withKeys(100_000),
  scheduled: { title: 'as many scheduled jobs beside those that wait', job: () => plain, scheduled: true },
};
