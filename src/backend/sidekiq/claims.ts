/**
 * From the lists into the hands of a server.
 *
 *   due in a set? ──▶ into its list, each in one step ──▶ taken from the lists and recorded as held, in one step
 *
 * A job that nobody can read is buried as it is, as Sidekiq does it.
 */
import type { ClaimRequest, ClaimResult } from '../backend.ts';
import type { Sendable } from '../redis/msgpack.ts';
import type { Calls } from './calls.ts';
import { toClaimed } from './pack.ts';
import { enqueued, readJob, type Version, type WireJob } from './wire.ts';

/** Rounds of bringing what is due to its queue before a claim; what is left waits for the next one. */
const ROUNDS = 10;

export class Claims {
  readonly #calls: Calls;
  readonly #version: Version;

  constructor(calls: Calls, version: Version) {
    this.#calls = calls;
    this.#version = version;
  }

  async claim({ server, queues, limit }: ClaimRequest): Promise<ClaimResult> {
    for (let round = 1; ; round++) {
      const answer = (await this.#calls.claim({ server, queues, limit, late: round > ROUNDS })) as {
        due?: Buffer[];
        claims: number[];
        queues: Buffer[];
        jobs: Buffer[];
        crashed: boolean;
        nextAt?: number;
      };
      if (answer.due) {
        await this.#promote(answer.due);
        continue;
      }
      const read = answer.jobs.map(readJob);
      await this.#bury(server, answer.claims, answer.jobs, read);
      const crashes = answer.crashed ? await this.#crashesOf(read) : [];
      const jobs = read.flatMap((job, i) =>
        job
          ? [toClaimed(job, String(answer.queues[i]), answer.claims[i] as number, crashes[i] ?? 0, this.#calls.now())]
          : [],
      );
      return answer.nextAt === undefined ? { jobs } : { jobs, nextAt: answer.nextAt };
    }
  }

  /** @param due set, job, set, job, … */
  async #promote(due: readonly Buffer[]): Promise<void> {
    const jobs: Sendable[] = [];
    for (let i = 0; i < due.length; i += 2) {
      const raw = due[i + 1] as Buffer;
      const job = readJob(raw);
      const queue = job?.queue ?? 'default';
      jobs.push([
        String(due[i]),
        raw,
        ...(job ? [queue, enqueued(job, queue, this.#calls.now(), this.#version)] : [false]),
      ]);
    }
    await this.#calls.change('promote', { jobs });
  }

  /** What nobody can read is dead at once, as it is: no attempt would make it better, and its bytes are all there is. */
  async #bury(
    server: string,
    claims: readonly number[],
    raws: readonly Buffer[],
    read: readonly (WireJob | undefined)[],
  ): Promise<void> {
    const bad = claims.flatMap((claim, i) => (read[i] ? [] : [{ claim, raw: raws[i] as Buffer }]));
    if (bad.length === 0) return;
    const moves = bad.flatMap(({ raw }, i) => [i + 1, { kind: 'dead', job: raw, hasFailed: true }]);
    const request = {
      server,
      claims: bad.map(({ claim }) => claim),
      ids: bad.map(() => ''),
      moves,
      day: this.#calls.day(),
    };
    await this.#calls.change('settle', request);
  }

  async #crashesOf(jobs: readonly (WireJob | undefined)[]): Promise<readonly number[]> {
    return (await this.#calls.ask('crashes', { ids: jobs.map((job) => job?.id ?? '') })) as number[];
  }
}
