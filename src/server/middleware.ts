/**
 * What goes around the bodies of all jobs of a server: logs, metrics, a context to run in, a lock.
 *
 *   const timed: PerformMiddleware = async (job, next) => {
 *     const startedAt = performance.now();
 *     try {
 *       return await next();
 *     } finally {
 *       record(job.name, performance.now() - startedAt);
 *     }
 *   };
 *
 * The first of the list is the outermost. One that throws fails the attempt; one that catches has the last word; one that
 * does not call `next` answers for the body. What it returns is the result, and `undefined` leaves the result as it was,
 * so `await next()` is enough. A second `next()` answers as the first: an attempt runs its body once.
 *
 * Jobs of a batch pass one by one as any other job, and `next()` waits until all jobs of the batch have come or have been
 * answered for; then the batch runs with those that came, and each `next()` gives its own result. So a middleware need not
 * know of batches; but one that lets jobs in one after the other would stop a batch for good, and the body of a batch runs
 * in none of the AsyncLocalStorage contexts of its jobs.
 */
import { toError } from '../errors.ts';
import type { JobContext } from '../job/job.ts';

export type PerformMiddleware = (job: JobContext, next: () => Promise<unknown>) => Promise<unknown>;

/** How a body ended. */
export type Settled = { readonly value: unknown } | { readonly error: unknown };

/** All of them as one; undefined when there is none, so that none costs nothing. */
export function compose(layers: readonly PerformMiddleware[]): PerformMiddleware | undefined {
  return layers.length === 0 ? undefined : (job, body) => pass(layers, 0, job, body);
}

async function pass(
  layers: readonly PerformMiddleware[],
  depth: number,
  job: JobContext,
  body: () => Promise<unknown>,
): Promise<unknown> {
  const layer = layers[depth];
  if (!layer) return body();
  let rest: Promise<unknown> | undefined;
  let inner: Settled | undefined;
  const next = () => {
    rest ??= pass(layers, depth + 1, job, body).then(
      (value) => {
        inner = { value };
        return value;
      },
      (error) => {
        inner = { error };
        throw error;
      },
    );
    rest.catch(() => undefined); // a layer may not look
    return rest;
  };
  const own = await layer(job, next);
  if (own !== undefined || rest === undefined) return own;
  const ended = inner as Settled | undefined;
  // Not awaited by the layer: then its error is not one that the layer has dealt with.
  if (!ended) return rest;
  return 'value' in ended ? ended.value : undefined;
}

/**
 * Leads the jobs of a batch through `middleware`, and runs those that come through in one call of `run`, which gives an
 * end for each of them, in their order.
 */
export async function passTogether<Member extends { readonly job: JobContext }>(
  members: readonly Member[],
  middleware: PerformMiddleware,
  run: (members: readonly Member[]) => Promise<readonly Settled[]>,
): Promise<readonly Settled[]> {
  const came: { member: Member; gate: PromiseWithResolvers<unknown> }[] = [];
  const all = Promise.withResolvers<void>();
  let missing = members.length;
  const passed = members.map(async (member): Promise<Settled> => {
    let here = false;
    const arrive = () => {
      if (here) return;
      here = true;
      if (--missing === 0) all.resolve();
    };
    try {
      const value = await middleware(member.job, () => {
        const gate = Promise.withResolvers<unknown>();
        gate.promise.catch(() => undefined); // a middleware may not look
        if (here) gate.reject(toError('`next` was called after the middleware had ended'));
        else came.push({ member, gate });
        arrive();
        return gate.promise;
      });
      return { value };
    } catch (error) {
      return { error };
    } finally {
      arrive();
    }
  });
  await all.promise;
  const ends = came.length > 0 ? await run(came.map(({ member }) => member)) : [];
  came.forEach(({ gate }, i) => {
    const end = ends[i] ?? { value: undefined };
    if ('error' in end) gate.reject(end.error);
    else gate.resolve(end.value);
  });
  return Promise.all(passed);
}
