/** What the wire of Resque cannot carry, and who asks for it all the same. */
import { MillraceError } from '../../errors.ts';
import { codecHeader } from '../../job/codec.ts';
import type { Capability, NewJob } from '../backend.ts';
import type { JobFilter } from '../filter.ts';
import { changed, defaultSettings, type SettingsChange } from '../settings.ts';
import { PRIORITY } from './seen.ts';

const noPlace = 'the wire of Resque has no place for it';

export const lacks = {
  keys: noPlace,
  unique: noPlace,
  schedules: "they are the business of Resque's own scheduler",
  events: noPlace,
  results: noPlace,
  search: 'its payloads are not looked into',
  update: 'a job is its bytes, and nothing else tells which one is meant',
  limits: "other workers on the same queues know nothing of Millrace's limits",
} as const satisfies Record<Capability, string>;

/** Each throws NOT_SUPPORTED. */
export class Refusals {
  readonly #backend: string;

  constructor(backend: string) {
    this.#backend = backend;
  }

  refuse(capability: Capability | undefined, what: string): never {
    const reason = capability ? lacks[capability] : noPlace;
    throw new MillraceError('NOT_SUPPORTED', { backend: this.#backend, what, reason });
  }

  /** Other headers are dropped in silence: they come from middleware, which cannot know where a job goes. */
  job({ id, key, unique, keepFor, priority, tags, headers }: NewJob): void {
    if (key !== undefined) this.refuse('keys', 'a job with a key');
    if (unique !== undefined) this.refuse('unique', 'a unique job');
    if (keepFor !== undefined) this.refuse('results', 'a job that is kept');
    if (id !== undefined) this.refuse(undefined, 'an id of your own');
    if (priority !== PRIORITY) this.refuse(undefined, `a priority other than ${PRIORITY}; use queues instead`);
    const codec = headers?.[codecHeader];
    if (codec !== undefined) this.refuse(undefined, `the codec ${codec}; a worker class may have \`bigints\``);
    if (tags && tags.length > 0) this.refuse(undefined, 'a job with tags');
  }

  filter({ where }: JobFilter): void {
    if (where) this.refuse('search', 'a search in payloads');
  }

  /** Only whether a queue is paused, for our servers, and after how many crashes a job goes to `failed`. */
  settings(change: SettingsChange): void {
    const after = changed(defaultSettings, change); // what is wrong is wrong whatever the settings are
    for (const name of ['concurrency', 'rate', 'keys', 'retention', 'events'] as const) {
      if (JSON.stringify(after[name]) === JSON.stringify(defaultSettings[name])) continue;
      this.refuse(capabilities[name], `the setting \`${name}\``);
    }
  }
}

const capabilities = {
  concurrency: 'limits',
  rate: 'limits',
  keys: 'keys',
  retention: undefined,
  events: 'events',
} as const;
