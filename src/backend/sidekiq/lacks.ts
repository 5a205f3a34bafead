/** What Sidekiq's wire has no words for, and how its use is refused. */
import { MillraceError } from '../../errors.ts';
import type { Capability, NewJob } from '../backend.ts';
import type { JobFilter } from '../filter.ts';
import { onlyPriority } from './places.ts';

export const lacks = {
  keys: 'a job of Sidekiq belongs to its queue only, and Ruby processes would take it out of turn',
  unique: 'the wire has no index, and a Ruby process that ran the job would not say so',
  schedules: 'Sidekiq has no schedules of its own; let another backend keep them',
  events: 'Ruby processes would not write any',
  results: 'Sidekiq keeps nothing of a job that has completed',
  update: 'a job on the wire is known by its bytes, and may be with a Ruby process at any moment',
  limits: 'of its queues the wire knows only whether they are paused, and Ruby processes would not heed more',
} as const satisfies Partial<Record<Capability, string>>;

/** What else cannot be said there. */
const others = {
  id: 'the wire has no index that could tell whether an id is taken',
  priority: 'jobs of a queue run in order of arrival; use queues for what is urgent',
} as const;

type Gap = keyof typeof lacks | keyof typeof others;

/** What of a job the wire cannot carry. */
export function gapsOf({ id, key, unique, keepFor, priority }: NewJob): readonly Gap[] {
  const gaps: Gap[] = [];
  if (key !== undefined) gaps.push('keys');
  if (unique !== undefined) gaps.push('unique');
  if (keepFor !== undefined) gaps.push('results');
  if (id !== undefined) gaps.push('id');
  if (priority !== onlyPriority) gaps.push('priority');
  return gaps;
}

/** Throws NOT_SUPPORTED for the first gap. */
export function refuse(backend: string, [what]: readonly Gap[]): void {
  if (what === undefined) return;
  throw new MillraceError('NOT_SUPPORTED', { backend, what, reason: { ...lacks, ...others }[what] });
}

/** A filter by key would find nothing, which is true, and no help to whoever asks. */
export function gapsOfFilter({ key }: JobFilter): readonly Gap[] {
  return key === undefined ? [] : ['keys'];
}
