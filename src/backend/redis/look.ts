/**
 * Walks through jobs in order of arrival: through those of one shard, or of several at once.
 *
 * A walk goes through at most `scanLimit` jobs in all, and holds about as many as were asked for.
 */
import { type JobFilter, scanLimit } from '../filter.ts';
import type { JobRecord } from '../records.ts';
import { toRef } from './pack.ts';
import { restOf, sentOf } from './search.ts';
import type { Request, Shard } from './shard.ts';
import { type Seen, stampOf } from './shown.ts';

export interface Found {
  readonly look: Look;
  readonly number: number;
  readonly job: JobRecord;
  /** What orders jobs of several shards. */
  readonly stamp: number;
}

/** Jobs that are asked for, and given, at once. */
const CHUNK = 1_000;

/** What matches in one shard. */
export class Look {
  readonly shard: Shard;
  readonly #request: Request;
  readonly #matches: ((job: JobRecord) => boolean) | undefined;
  #atHand: Found[] = [];
  /** Arrival numbers: what was gone through, and what was given. */
  #seen: number;
  #given: number;
  #isOver = false;

  /** @param concerns what an action adds to the filter @param from an arrival number; behind it the look begins */
  constructor(shard: Shard, filter: JobFilter, concerns: Request, from: number) {
    const refs = filter.ids && [...new Set(filter.ids)].map((id) => toRef(id, shard.ids));
    this.shard = shard;
    this.#request = { ...concerns, filter: sentOf(filter), scan: scanLimit, ...(refs && { refs }) };
    this.#matches = restOf(filter);
    this.#seen = from;
    this.#given = from;
  }

  /** Behind this one to go on; undefined: that was all. */
  get position(): number | undefined {
    if (this.#atHand.length > 0) return this.#given;
    return this.#isOver ? undefined : this.#seen;
  }

  get first(): Found | undefined {
    return this.#atHand[0];
  }

  /** Whether it has to be filled before it is known what comes first. */
  get isDry(): boolean {
    return this.#atHand.length === 0 && !this.#isOver;
  }

  take(): void {
    this.#given = this.#atHand.shift()?.number as number;
  }

  /** Gets about `wanted` jobs, going through at most `most`. Resolves to how many it went through. */
  async fill(wanted: number, most: number): Promise<number> {
    this.#given = this.#seen;
    // What Redis cannot decide is asked for in larger pieces, as not all of it will do.
    const limit = Math.min(CHUNK, this.#matches ? Math.max(wanted, 100) : wanted);
    const request = { ...this.#request, from: this.#seen, limit, most: Math.min(most, 2 * CHUNK) };
    const answer = (await this.shard.ask('look', request)) as unknown as { jobs: Seen[]; seen: number; last?: number };
    await this.shard.learn(answer.jobs.map((seen) => seen[2]));
    for (const seen of answer.jobs) {
      const job = this.shard.show(seen);
      if (this.#matches && !this.#matches(job)) continue;
      this.#atHand.push({ look: this, number: seen[1], job, stamp: stampOf(seen[2]) });
    }
    this.#isOver = answer.last === undefined;
    this.#seen = answer.last ?? this.#seen;
    return answer.seen;
  }
}

/** At most `limit` jobs, oldest first, in pieces. Ends early when it has gone through enough. */
export async function* walk(looks: readonly Look[], limit: number): AsyncGenerator<Found[]> {
  let unseen = scanLimit;
  let piece: Found[] = [];
  for (let left = limit; left > 0; ) {
    const dry = looks.filter((look) => look.isDry);
    if (dry.length > 0) {
      if (unseen <= 0) break;
      const wanted = looks.length === 1 ? left : Math.max(16, Math.ceil((1.5 * left) / looks.length));
      const most = Math.ceil(unseen / dry.length);
      for (const seen of await Promise.all(dry.map((look) => look.fill(wanted, most)))) unseen -= seen;
      continue;
    }
    const next = earliest(looks);
    if (!next) break;
    next.look.take();
    left--;
    if (piece.push(next) < CHUNK) continue;
    yield piece;
    piece = [];
  }
  if (piece.length > 0) yield piece;
}

function earliest(looks: readonly Look[]): Found | undefined {
  let best: Found | undefined;
  for (const { first } of looks) if (first && (!best || first.stamp < best.stamp)) best = first;
  return best;
}
