/**
 * What happens to jobs, as it happens and from any moment that is still kept.
 *
 *   for await (const event of inspector.events({ after: lastSeen, signal })) …
 *
 *   look ──▶ events, one by one ──▶ nothing more: wait for news, or for the poll ──▶ look
 *
 * Events come in the order of their numbers, each once; only queues with the setting `events` record any. A reader that is
 * slower than what happens is not waited for: what it lost is told by an item of kind `missed` in the place of the gap.
 * Nothing is held between two looks but one page. Ends with the signal, or with the loop.
 */
import type { Backend } from '../backend/backend.ts';
import type { JobEvent } from '../backend/records.ts';
import type { Clock } from '../clock.ts';
import { assertKnown, assertOption } from '../errors.ts';

/** Events after number `after` are gone: newer ones took their place before they were read. */
export interface MissedEvents {
  readonly kind: 'missed';
  readonly after: number;
}

export interface EventsOptions {
  /**
   * Go on behind this number. `'now'`: only what happens after the first read has begun. Integer from 0. Default: from the oldest event that one
   * look brings, which are the last 1,000 that are kept.
   */
  readonly after?: number | 'now';
  /** Ends the stream, without an error. */
  readonly signal?: AbortSignal;
}

const PAGE = 1_000;

/** @param poll ms between looks when nothing wakes the reader */
export async function* readEvents(
  backend: Backend,
  clock: Clock,
  poll: number,
  options: EventsOptions,
): AsyncGenerator<JobEvent | MissedEvents, void, undefined> {
  assertKnown(options, { after: true, signal: true });
  const { signal } = options;
  let after = options.after === 'now' ? (await backend.events(undefined, 1)).last : options.after;
  const isNumber = after === undefined || (Number.isSafeInteger(after) && after >= 0);
  assertOption('after', after, isNumber, "an integer from 0, or 'now'");

  const bell = new Bell();
  const stopListening = backend.listen({ news: true }, () => bell.ring());
  const onAbort = () => bell.ring();
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    while (!signal?.aborted) {
      bell.reset();
      const { events, last, missed } = await backend.events(after, PAGE);
      if (missed && after !== undefined) yield { kind: 'missed', after };
      for (const event of events) {
        if (signal?.aborted) return;
        yield event;
      }
      after = last;
      if (events.length > 0 || signal?.aborted) continue;
      const timer = clock.timer(poll, () => bell.ring());
      await bell.rung;
      timer.cancel();
    }
  } finally {
    stopListening();
    signal?.removeEventListener('abort', onAbort);
  }
}

/** A wake-up that is not lost when it comes before the wait. */
class Bell {
  #next = Promise.withResolvers<void>();

  get rung(): Promise<void> {
    return this.#next.promise;
  }

  ring(): void {
    this.#next.resolve();
  }

  reset(): void {
    this.#next = Promise.withResolvers<void>();
  }
}
