/**
 * What happens around every enqueue of a client: a trace is carried along, a payload is encrypted, a tenant is noted.
 *
 *   const trace: EnqueueMiddleware = async (draft, next) => {
 *     draft.headers.traceparent = current();
 *     await next();                              // the job is stored when this resolves, and draft.id is its id
 *   };
 *
 * Middlewares wrap each other in the order of the list. Each job of a call passes through all of them; the jobs leave
 * together when the last one has come through, so `next` also waits for the others of an `enqueueMany`.
 *
 * To refuse a job, throw: the enqueue rejects with that, and nothing of the call is stored. Ending without `next()` does
 * the same with ENQUEUE_REFUSED, because a job that vanished in silence could not be told from one that was stored. What
 * is thrown after `next()` rejects the enqueue too, although the job is stored by then.
 */
import { MillraceError } from '../errors.ts';
import type { EnqueueDraft } from './draft.ts';

export type EnqueueMiddleware = (draft: EnqueueDraft, next: () => Promise<void>) => Promise<void>;

export interface Passage<T> {
  /** What `store` resolved to, when every middleware has ended; rejects with the first thing that went wrong. */
  readonly done: Promise<T>;
  /** Gives up what has not been stored yet: every `next` rejects with `error`. */
  refuse(error: unknown): void;
}

/**
 * Takes the drafts of one call through `middleware`; `store` is called when all have arrived, in the same turn as the
 * last one did.
 */
export function passThrough<T>(
  middleware: readonly EnqueueMiddleware[],
  drafts: readonly EnqueueDraft[],
  store: () => Promise<T>,
): Passage<T> {
  const stored = Promise.withResolvers<T>();
  stored.promise.catch(() => undefined);
  let missing = drafts.length;
  let failure: { readonly error: unknown } | undefined;

  const refuse = (error: unknown) => {
    failure ??= { error };
    stored.reject(error);
  };
  const arrive = async () => {
    if (--missing === 0 && !failure) store().then(stored.resolve, refuse);
    await stored.promise;
  };
  const walk = async (draft: EnqueueDraft) => {
    let arrived = false;
    const step = async (index: number): Promise<void> => {
      const layer = middleware[index];
      if (!layer) {
        arrived = true;
        return arrive();
      }
      let called = false;
      await layer(draft, () => {
        const rest = called ? refused(draft, 'a middleware called next() twice') : step(index + 1);
        called = true;
        rest.catch(() => undefined); // a middleware need not wait for it: the enqueue does
        return rest;
      });
    };
    try {
      await step(0);
      if (!arrived) await refused(draft, 'a middleware ended without calling next()');
    } catch (error) {
      refuse(error);
    }
  };
  const walks = drafts.map(walk);
  const done = Promise.all(walks).then(async () => {
    const result = await stored.promise;
    if (failure) throw failure.error;
    return result;
  });
  return { done, refuse };
}

function refused({ name }: EnqueueDraft, reason: string): Promise<never> {
  return Promise.reject(new MillraceError('ENQUEUE_REFUSED', { name, reason }));
}
