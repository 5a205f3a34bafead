/** Where a job can be. */

/** Exactly one at any moment. The words are River's and Oban's, but for `quarantined`. */
export const jobStates = [
  'scheduled', // waits for its time
  'available', // can be claimed now, or as soon as its queue, its key or a rate allows
  'running', // leased to a server
  'retryable', // failed, waits for its next attempt
  'completed', // done; a count, and a record only if the job asked to be kept
  'discarded', // failed for good; kept with its errors, can be retried
  'cancelled', // ended on purpose; kept with its reason, can be retried
  'quarantined', // its server died too often while it ran; kept, retried only when it is meant
] as const;
export type JobState = (typeof jobStates)[number];
