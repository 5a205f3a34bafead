/**
 * Every job that is known, by id and in order of arrival.
 *
 * An id is an arrival number, so jobs stand in pages by number and need no hash of their id; only ids of the caller's own
 * are in a map. Look up, put and delete O(1); going on from a number costs one step per page that is still in use.
 */
import type { Ids } from '../ids.ts';
import type { StoredJob } from './job.ts';

const PAGE = 64;

interface Sheet {
  readonly jobs: (StoredJob | undefined)[];
  used: number;
}

export class Ledger {
  /** In order of their numbers, as they are made in that order. */
  readonly #pages = new Map<number, Sheet>();
  readonly #own = new Map<string, StoredJob>();
  readonly #ids: Ids;
  #last: Sheet | undefined;
  #lastPage = -1;

  constructor(ids: Ids) {
    this.#ids = ids;
  }

  get(id: string): StoredJob | undefined {
    const number = this.#ids.parse(id);
    if (number < 0) return this.#own.get(id);
    const job = this.#pages.get(Math.floor(number / PAGE))?.jobs[number % PAGE];
    return job?.id === id ? job : undefined;
  }

  /** Its number must be higher than all before. */
  put(job: StoredJob, isOwnId: boolean): void {
    const page = Math.floor(job.number / PAGE);
    if (page !== this.#lastPage || !this.#last) {
      if (this.#last?.used === 0) this.#pages.delete(this.#lastPage);
      this.#last = { jobs: new Array(PAGE), used: 0 };
      this.#lastPage = page;
      this.#pages.set(page, this.#last);
    }
    this.#last.jobs[job.number % PAGE] = job;
    this.#last.used++;
    if (isOwnId) this.#own.set(job.id, job);
  }

  delete(job: StoredJob): void {
    const page = Math.floor(job.number / PAGE);
    const sheet = this.#pages.get(page) as Sheet;
    sheet.jobs[job.number % PAGE] = undefined;
    sheet.used--;
    if (sheet.used === 0 && sheet !== this.#last) this.#pages.delete(page);
    this.#own.delete(job.id);
  }

  /** Jobs with a higher number, in order of arrival. */
  *after(number: number): Generator<StoredJob> {
    const first = Math.floor((number + 1) / PAGE);
    for (const [page, { jobs }] of this.#pages) {
      if (page < first) continue;
      for (const job of jobs) if (job && job.number > number) yield job;
    }
  }

  clear(): void {
    this.#pages.clear();
    this.#own.clear();
    this.#last = undefined;
  }
}
