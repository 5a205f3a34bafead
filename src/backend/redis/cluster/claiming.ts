/**
 * Jobs of several shards, claimed and brought to their ends by one server.
 *
 * A claim asks the shards of its queues one after the other, as long as there is room: queues that follow each other in one
 * shard are one call. What concerns a job goes to the shard that its id names; for an own id, to the one that it was
 * claimed from, or else to all of them.
 *
 * A shard that is away holds up one claim; the next ones leave it out until it answers, so the other queues go on.
 */
import type { Clock } from '../../../clock.ts';
import { isError, toError } from '../../../errors.ts';
import type * as B from '../../backend.ts';
import * as check from '../../check.ts';
import type { RedisBackend } from '../backend.ts';
import type { Members } from './members.ts';
import type { Shards } from './shards.ts';

/** Payloads that one claim brings into memory, about; whoever claims next goes on. */
const MOST_BYTES = 16 * 1024 * 1024;
/** ms until a claim that left out a shard should be made again. */
const SOON = 1_000;
/** Own ids whose places are remembered, and answers for whoever asks again. */
const MANY = 100_000;

export class Claiming {
  readonly #shards: Shards;
  readonly #backends: readonly RedisBackend[];
  readonly #members: Members;
  readonly #clock: Clock;
  /** Shards that did not answer, and whether they are being asked whether they do. */
  readonly #away = new Map<number, { readonly error: Error; isAsked: boolean }>();
  /** Where jobs with own ids were claimed. */
  readonly #places = new Map<string, number>();
  /** What some shards have taken of a call that others could not be asked: it is made again as a whole. */
  readonly #taken = new Set<string>();

  constructor(shards: Shards, backends: readonly RedisBackend[], members: Members, clock: Clock) {
    this.#shards = shards;
    this.#backends = backends;
    this.#members = members;
    this.#clock = clock;
  }

  async claim({ server, queues, limit }: B.ClaimRequest): Promise<B.ClaimResult> {
    const jobs: B.ClaimedJob[] = [];
    let nextAt = Infinity;
    let bytes = 0;
    let failure: Error | undefined;
    for (const [place, some] of this.#runs(server, queues)) {
      const away = this.#away.get(place);
      if (away) {
        failure ??= away.error;
        this.#probe(place);
        continue;
      }
      try {
        const result = await this.#claimAt(place, { server, queues: some, limit: limit - jobs.length });
        for (const job of result.jobs) {
          jobs.push(job);
          bytes += job.payload.byteLength;
          if (this.#shards.at(place).ids.parse(job.id) < 0) this.#remember(job.id, place);
        }
        nextAt = Math.min(nextAt, result.nextAt ?? Infinity);
      } catch (error) {
        // What was claimed before must not be lost, and a node that is away must not hold up the queues of others.
        if (isError(error, 'SERVER_UNKNOWN') && jobs.length === 0) throw error;
        failure ??= toError(error);
        if (isError(error, 'BACKEND_UNAVAILABLE')) this.#away.set(place, { error, isAsked: false });
      }
      if (jobs.length === limit) return { jobs };
      if (bytes >= MOST_BYTES) return { jobs, nextAt: 0 };
    }
    if (failure && jobs.length === 0) throw failure;
    if (failure) nextAt = Math.min(nextAt, this.#clock.now() + SOON);
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

  /** Asks a shard that is away whether it still is. */
  #probe(place: number): void {
    const away = this.#away.get(place);
    if (!away || away.isAsked) return;
    away.isAsked = true;
    this.#shards
      .at(place)
      .ask('known', { where: 'own', names: [] })
      .then(
        () => this.#away.delete(place),
        () => {
          away.isAsked = false;
        },
      );
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
    half: (done: readonly (readonly [T, R])[]) => void = () => undefined,
  ): Promise<R[]> {
    const results: R[] = items.map(() => none);
    const round = async (shares: ReadonlyMap<number, readonly number[]>) => {
      const answers = await Promise.allSettled(
        [...shares].map(async ([place, share]) => {
          const some = share.map((at) => items[at] as T);
          const answered = await ask(this.#backends[place] as RedisBackend, some);
          for (const [i, at] of share.entries()) if (answered[i] !== none) results[at] = answered[i] as R;
        }),
      );
      const failed = answers.find((answer) => answer.status === 'rejected');
      if (!failed) return;
      half(items.flatMap((item, at) => (results[at] === none ? [] : [[item, results[at] as R] as const])));
      throw failed.reason;
    };
    const everywhere = [...this.#backends.keys()];
    const places = items.map(({ id }) => {
      const place = this.#shards.ofId(id);
      if (place >= 0) return [place];
      const known = this.#places.get(id);
      return known === undefined ? everywhere : [known];
    });
    await round(byPlace(places));
    // Own ids may have come to another shard since they were claimed.
    const others = items.map(({ id }, at) => {
      const known = this.#places.get(id);
      if (known === undefined || results[at] !== none || this.#shards.ofId(id) >= 0) return [];
      return everywhere.filter((place) => place !== known);
    });
    await round(byPlace(others));
    return results;
  }
}

/** From the places of each to those that are in each place. */
function byPlace(places: readonly (readonly number[])[]): ReadonlyMap<number, readonly number[]> {
  const shares = new Map<number, number[]>();
  for (const [at, all] of places.entries()) {
    for (const place of all) {
      const share = shares.get(place);
      if (share) share.push(at);
      else shares.set(place, [at]);
    }
  }
  return shares;
}
