/**
 * Sees from a server's events when nothing is left to do: a claim that began while the server held no job has brought none.
 *
 * One empty claim is not enough: jobs that ended while it was under way may have enqueued others, so it takes a second one
 * after that. What waits for its time, for a retry, a rate or the end of a pause is not waited for: nobody can run it now.
 */
import type { ServerEvent } from '../server/events.ts';

export class Completion {
  readonly #done = Promise.withResolvers<void>();
  /** Jobs claimed and not ended. */
  #held = 0;
  /** The last claim found nothing, and nothing was held when it was answered. */
  #wasEmpty = false;

  /** Resolves when nothing is left to do. */
  get done(): Promise<void> {
    return this.#done.promise;
  }

  see(event: ServerEvent): void {
    switch (event.type) {
      case 'claimed': {
        this.#held += event.count;
        if (this.#held === 0 && this.#wasEmpty) this.#done.resolve();
        this.#wasEmpty = this.#held === 0;
        return;
      }
      case 'completed':
      case 'failed':
      case 'snoozed':
      case 'cancelled':
      case 'returned':
        this.#held--;
        return;
      default:
    }
  }
}
