/**
 * Jobs of several shards, claimed and brought to their ends by one server.
 *
 * A claim asks the shards of its queues one after the other, as long as there is room: queues that follow each other in one
 * shard are one call. What concerns a job goes to the shard that its id names; for an own id, to the one that it was
 * claimed from, or else to all of them.
 */
import { isError, toError } from '../../errors.ts';
import type * as B from '../backend.ts';
import * as check from '../check.ts';
import type { RedisBackend } from './backend.ts';
import type { Members } from './members.ts';
import type { Shards } from './shards.ts';

/** Payloads that one claim brings into memory, about; whoever claims next goes on. */
const MOST_BYTES = 16 * 1024 * 1024;
/** Own ids whose places are remembered, and answers for whoever asks again. */
const MANY = 100_000;

export class Claiming {
  readonly #shards: Shards;
  readonly #backends: readonly RedisBackend[];
  readonly #members: Members;
  /** Where jobs with own ids were claimed. */
  readonly #places = new Map<string, number>();
  /** What some shards have taken of a call that others could not be asked: it is made again as a whole. */
  readonly #taken = new Set<string>();

  constructor(shards: Shards, backends: readonly RedisBackend[], members: Members) {
    this.#shards = shards;
    this.#backends = backends;
    this.#members = members;
  }

  async claim({ server, queues, limit }: B.ClaimRequest): Promise<B.ClaimResult> {
    const jobs: B.ClaimedJob[] = [];
    let nextAt = Infinity;
    let bytes = 0;
    let failure: Error | undefined;
    for (const [place, some] of this.#runs(server, queues)) {
      try {
        const result = await this.#claimAt(place, { server, queues: some, limit: limit - jobs.length });
        for (const job of result.jobs) {
          jobs.push(job);
          bytes += job.payload.byteLength;
          if (this.#shards.ofId(job.id) < 0) this.#remember(job.id, place);
        }
        nextAt = Math.min(nextAt, result.nextAt ?? Infinity);
      } catch (error) {
        // What was claimed before must not be lost, and a node that is away must not hold up the queues of others.
        if (isError(error, 'SERVER_UNKNOWN') && jobs.length === 0) throw error;
        failure ??= toError(error);
      }
      if (jobs.length === limit) return { jobs };
      if (bytes >= MOST_BYTES) return { jobs, nextAt: 0 };
    }
    if (failure && jobs.length === 0) throw failure;
    if (failure) return { jobs, nextAt: 0 };
    return nextAt < Infinity ? { jobs, nextAt } : { jobs };
  }

  async settle(server: string, outcomes: readonly B.Outcome[]): Promise<B.SettleResult[]> {
    for (const { ending } of outcomes) check.assertEnding(ending);
    const nameOf = ({ id, claim }: B.Outcome) => `${server} ${claim} ${id}`;
    const left = outcomes.filter((outcome) => !this.#taken.has(nameOf(outcome)));
    const results = await this.#share(
      left,
      (backend, some) => backend.settle(server, some),
      'stale',
      (done) => {
        if (this.#taken.size > MANY) this.#taken.clear();
        for (const [outcome, result] of done) if (result === 'taken') this.#taken.add(nameOf(outcome));
      },
    );
    for (const { id } of left) this.#places.delete(id);
    let at = 0;
    return outcomes.map((outcome) => (this.#taken.delete(nameOf(outcome)) ? 'taken' : (results[at++] ?? 'stale')));
  }

  async report(server: string, reports: readonly B.Report[]): Promise<B.SettleResult[]> {
    reports.forEach(check.assertReport);
    return this.#share(reports, (backend, some) => backend.report(server, some), 'stale');
  }

  async update(changes: readonly B.JobChange[]): Promise<B.ChangeResult[]> {
    changes.forEach(check.assertChange);
    return this.#share(changes, (backend, some) => backend.update(some), 'unknown');
  }

  /** Queues in their order, those that follow each other in one shard together. */
  #runs(server: string, queues: readonly string[]): (readonly [number, string[]])[] {
    const runs: (readonly [number, string[]])[] = [];
    for (const queue of queues) {
      const place = this.#shards.of(queue);
      const last = runs.at(-1);
      if (last?.[0] === place) last[1].push(queue);
      else runs.push([place, [queue]]);
    }
    return runs.length > 0 ? runs : [[this.#shards.of(server), []]];
  }

  async #claimAt(place: number, request: B.ClaimRequest): Promise<B.ClaimResult> {
    const backend = this.#backends[place] as RedisBackend;
    try {
      return await backend.claim(request);
    } catch (error) {
      if (!isError(error, 'SERVER_UNKNOWN') || !(await this.#members.admit(request.server, place))) throw error;
      return await backend.claim(request);
    }
  }

  #remember(id: string, place: number): void {
    if (this.#places.size > MANY) this.#places.clear();
    this.#places.set(id, place);
  }

  /**
   * Asks each shard about what is its own, all at once. `none`: the answer of a shard that has no such job. `half` hears what
   * was answered when not all shards could be asked.
   */
  async #share<T extends { readonly id: string }, R extends string>(
    items: readonly T[],
    ask: (backend: RedisBackend, some: readonly T[]) => Promise<readonly R[]>,
    none: R,
    half?: (done: readonly (readonly [T, R])[]) => void,
  ): Promise<R[]> {
    const shares = new Map<number, number[]>();
    const give = (place: number, at: number) => {
      const share = shares.get(place);
      if (share) share.push(at);
      else shares.set(place, [at]);
    };
    for (const [at, { id }] of items.entries()) {
      const place = Math.max(this.#shards.ofId(id), this.#places.get(id) ?? -1);
      if (place >= 0) give(place, at);
      else for (const other of this.#backends.keys()) give(other, at);
    }
    const results: R[] = items.map(() => none);
    const done: (readonly [T, R])[] = [];
    const answers = await Promise.allSettled(
      [...shares].map(async ([place, share]) => {
        const some = share.flatMap((at) => items[at] ?? []);
        const answered = await ask(this.#backends[place] as RedisBackend, some);
        for (const [i, at] of share.entries()) {
          const result = answered[i] ?? none;
          if (result === none) continue;
          results[at] = result;
          done.push([items[at] as T, result]);
        }
      }),
    );
    const failed = answers.find((answer) => answer.status === 'rejected');
    if (!failed) return results;
    half?.(done);
    throw failed.reason;
  }
}
