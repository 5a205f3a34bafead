/**
 * Groups of jobs that go to several shards, all or nothing.
 *
 *   preview ──▶ intend ──▶ add, in each shard ──▶ fulfil
 *
 * `intend` writes the whole group down in one shard: that is the moment from which it will be stored, whoever dies. Each shard
 * takes its part once (a `once` key named after the intent), so anybody may do it again; `rescue` does, with what is older
 * than some seconds. `maxWaiting` is looked at before, so adds at the same time may exceed it together.
 *
 * Costs four round trips instead of one, and the payloads are written twice.
 */
import type { AddResult, NewJob } from '../../backend.ts';
import { decode, encode, type Sendable } from '../msgpack.ts';
import { type AddRequest, packAdd, type Result, toResults } from '../pack.ts';
import { newName } from '../shard.ts';
import type { Shards } from './shards.ts';

/** Kept by the shards that have their part while nobody has fulfilled the intent; and then, for whoever is still at it. */
const UNFULFILLED = 30 * 86_400_000;
const FULFILLED = 600_000;

/** What one shard gets. */
interface Part {
  readonly shard: number;
  /** Of its jobs in the group. */
  readonly places: readonly number[];
  /** Of their stamps behind the intent's first. */
  readonly offsets: readonly number[];
  /** Their own ids, or null. */
  readonly own: readonly (string | null)[];
  readonly request: AddRequest;
}

export type Parts = readonly Part[];

export interface Intent {
  readonly id: string;
  readonly count: number;
  readonly parts: Uint8Array;
}

export class Intents {
  readonly #shards: Shards;
  readonly #added: (queues: readonly string[]) => void;

  /** @param added hears which queues got jobs */
  constructor(shards: Shards, added: (queues: readonly string[]) => void) {
    this.#shards = shards;
    this.#added = added;
  }

  /** What each shard would get. `elsewhere`: jobs whose own id another shard has; those of the group itself are added to it. */
  async divide(jobs: readonly NewJob[], elsewhere: Set<NewJob>): Promise<Parts> {
    await this.#findRepeated(jobs, elsewhere);
    return this.#parts(jobs, elsewhere);
  }

  make(jobs: readonly NewJob[], parts: Parts): Intent {
    return { id: newName(), count: jobs.length, parts: encode(parts as unknown as Sendable) };
  }

  /** What a group is answered that would fill one of its queues beyond `limit`. */
  async full(parts: Parts, limit: number): Promise<AddResult | undefined> {
    const answers = await Promise.all(
      parts.map(async (part) => {
        const { full } = await this.#preview(part, limit);
        return full ? [{ ...full, place: part.places[full.place - 1] as number }] : [];
      }),
    );
    const [first] = answers.flat().sort((a, b) => a.place - b.place);
    return first && { status: 'full', queue: String(first.queue), waiting: first.waiting, limit };
  }

  /** Stores a group on whose behalf `intent` was written down in shard `home`, with stamps from `base` on. */
  async fulfil(home: number, id: string, base: number, parts: Parts, isOnce: boolean): Promise<AddResult> {
    const results = await Promise.all(parts.map((part) => this.#add(id, base, part)));
    const ids: string[] = [];
    const existing: number[] = [];
    for (const [i, { places }] of parts.entries()) {
      const result = results[i] as Extract<AddResult, { status: 'stored' | 'repeated' }>;
      for (const [at, place] of places.entries()) ids[place] = result.ids[at] as string;
      if (result.status === 'stored') existing.push(...(result.existing ?? []).map((at) => places[at] as number));
    }
    await this.#forget(home, id, parts, isOnce ? ids : []).catch(() => undefined); // it is stored; `rescue` forgets
    existing.sort((a, b) => a - b);
    return existing.length > 0 ? { status: 'stored', ids, existing } : { status: 'stored', ids };
  }

  /** Likewise, for one that somebody else has written down. */
  async resume(home: number, id: string, packed?: Buffer): Promise<void> {
    const written = packed ?? ((await this.#shards.at(home).ask('intent', { id })) as Buffer | false);
    if (!written) return;
    const { base, parts, once } = decode(written) as { base: number; parts: Buffer; once?: Buffer };
    await this.fulfil(home, id, base, decode(parts) as unknown as Parts, once !== undefined);
  }

  async #add(id: string, base: number, { shard: at, offsets, own, request }: Part): Promise<Result | undefined> {
    const shard = this.#shards.at(at);
    const once = [1, { key: `intent:${id}`, fingerprint: '', ttl: UNFULFILLED }];
    const answer = await shard.change('add', { ...request, base, offsets, once, by: shard.who });
    this.#shards.seen((answer as { stamp: number }).stamp);
    this.#added(request.templates.map(([queue]) => String(queue)));
    const jobs = own.map((id) => ({ id: id === null ? undefined : String(id) }));
    return toResults([{ jobs }], answer, shard.ids)[0];
  }

  async #forget(home: number, id: string, parts: Parts, refs: readonly string[]): Promise<void> {
    await this.#shards.at(home).change('fulfil', { id, refs });
    const request = { key: `intent:${id}`, ttl: FULFILLED };
    await Promise.all(parts.map(({ shard }) => this.#shards.at(shard).ask('shorten', request)));
  }

  /** Of jobs with the same own id in different shards only the first that would be a new one is stored. */
  async #findRepeated(jobs: readonly NewJob[], elsewhere: Set<NewJob>): Promise<void> {
    const shardsOf = new Map<string, Set<number>>();
    const named = jobs.filter((job) => job.id !== undefined && !elsewhere.has(job)) as (NewJob & { id: string })[];
    for (const { id, queue } of named) shardsOf.set(id, (shardsOf.get(id) ?? new Set()).add(this.#shards.of(queue)));
    const owners = new Map<string, number>();
    for (const job of named) {
      const { id, queue } = job;
      if (shardsOf.get(id)?.size === 1) continue;
      const shard = this.#shards.of(queue);
      const owner = owners.get(id);
      if (owner !== undefined) {
        if (owner !== shard) elsewhere.add(job);
        continue;
      }
      const part = this.#parts(jobs, elsewhere).find((each) => each.shard === shard) as Part;
      const { isNew } = await this.#preview(part);
      if (isNew[part.places.indexOf(jobs.indexOf(job))]) owners.set(id, shard);
    }
  }

  #parts(jobs: readonly NewJob[], elsewhere: ReadonlySet<NewJob>): Parts {
    const places = Map.groupBy(jobs.keys(), (place) => this.#shards.of((jobs[place] as NewJob).queue));
    return [...places].map(([shard, mine]) => {
      const some = mine.map((place) => jobs[place] as NewJob);
      const request = packAdd([{ jobs: some }], this.#shards.at(shard).ids, elsewhere);
      return { shard, places: mine, offsets: mine, own: some.map(({ id = null }) => id), request };
    });
  }

  async #preview({ shard, request }: Part, limit?: number) {
    const limits = limit === undefined ? undefined : [1, limit];
    const answer = await this.#shards.at(shard).ask('preview', { ...request, limits } as { [name: string]: Sendable });
    type Full = { readonly queue: Buffer; readonly waiting: number; readonly place: number };
    const { new: isNew, full } = answer as unknown as { new: boolean[]; full?: Full };
    return { isNew, full };
  }
}

/** Its parts of an `intended` answer, if it is one. */
export function isIntended(result: Result | undefined): result is Extract<Result, { status: 'intended' }> {
  return result?.status === 'intended';
}
