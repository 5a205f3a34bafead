/**
 * From the lists into the hands of a server.
 *
 *   due in a set? ──▶ into its list, each in one step ──▶ taken from the lists and recorded as held, in one step
 *
 * A job that nobody can read is buried as it is, as Sidekiq does it.
 */
import type { ClaimRequest, ClaimResult } from '../backend.ts';
import type { Calls } from '../redis/calls.ts';
import type { Sendable } from '../redis/msgpack.ts';
import { toClaimed } from './pack.ts';
import type { Command } from './scripts.ts';
import { dayOf, enqueued, readJob, type Version, type WireJob } from './wire.ts';

/** Rounds of bringing what is due to its queue before a claim; what is left waits for the next one. */
const ROUNDS = 10;

/** Either what is due, or what was claimed. */
interface Answer {
  readonly due?: readonly Buffer[];
  readonly claims: readonly number[];
  readonly queues: readonly Buffer[];
  readonly jobs: readonly Buffer[];
  readonly crashed: boolean;
  readonly nextAt?: number;
}

export class Claims {
  readonly #calls: Calls<Command>;
  readonly #version: Version;

  constructor(calls: Calls<Command>, version: Version) {
    this.#calls = calls;
    this.#version = version;
  }

  /** What a claim that came to nothing may have given goes back first. */
  async claim({ server, queues, limit }: ClaimRequest): Promise<ClaimResult> {
    const who = `${this.#calls.who}:${server}`;
    for (let round = 1; ; round++) {
      const request = { server, queues, limit, late: round > ROUNDS, who, claimer: true };
      const result = await this.#calls.claim(server, async (turn, lost) => {
        const answer = await this.#calls.ask('claim', { ...request, turn, lost });
        return this.#read(server, answer as unknown as Answer);
      });
      if (result) return result;
    }
  }

  /** Undefined: something was due and has been brought to its list. */
  async #read(server: string, answer: Answer): Promise<ClaimResult | undefined> {
    if (answer.due) return this.#promote(answer.due);
    const { claims, queues, jobs: raws, crashed, nextAt } = answer;
    const read = raws.map(readJob);
    await this.#bury(server, claims, raws, read);
    const crashes = crashed ? await this.#crashesOf(read) : [];
    const now = this.#calls.now();
    const jobs = read.flatMap((job, i) =>
      job ? [toClaimed(job, String(queues[i]), claims[i] as number, crashes[i] ?? 0, now)] : [],
    );
    return nextAt === undefined ? { jobs } : { jobs, nextAt };
  }

  /** @param due set, job, set, job, … */
  async #promote(due: readonly Buffer[]): Promise<undefined> {
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
      ids: bad.map(() => '~'),
      moves,
      day: dayOf(this.#calls.now()),
    };
    await this.#calls.change('settle', request);
  }

  async #crashesOf(jobs: readonly (WireJob | undefined)[]): Promise<readonly number[]> {
    return (await this.#calls.ask('crashes', { ids: jobs.map((job) => job?.id ?? '') })) as number[];
  }
}
