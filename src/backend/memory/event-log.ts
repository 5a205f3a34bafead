/**
 * The latest events of the queues that record some: all in order of their numbers, and each queue lets its oldest fall out.
 * O(1) per event; a read costs what it gives, and a search for where it begins.
 */
import { Ring } from '../../pool/ring.ts';
import type { JobEvent, JobEvents } from '../records.ts';

interface Entry {
  readonly event: JobEvent;
  isKept: boolean;
}

export class EventLog {
  readonly #queues = new Map<string, Ring<Entry>>();
  /** Those that are kept, and for a while some that are not. */
  #all: Entry[] = [];
  #kept = 0;
  #last = 0;

  /** @param keep how many of its queue are kept */
  record(event: Omit<JobEvent, 'number'>, keep: number): void {
    const entry = { event: { ...event, number: ++this.#last }, isKept: true };
    const line = this.#queues.get(event.queue) ?? new Ring();
    this.#queues.set(event.queue, line);
    line.push(entry);
    this.#all.push(entry);
    this.#kept++;
    this.trim(event.queue, keep);
  }

  trim(queue: string, keep: number): void {
    const line = this.#queues.get(queue);
    if (!line) return;
    for (; line.size > keep; this.#kept--) (line.shift() as Entry).isKept = false;
    if (line.size === 0) this.#queues.delete(queue);
    if (this.#all.length > 2 * this.#kept + 64) this.#all = this.#all.filter(({ isKept }) => isKept);
  }

  read(after: number | undefined, limit: number): JobEvents {
    const events: JobEvent[] = [];
    if (after === undefined) {
      for (let at = this.#all.length - 1; at >= 0 && events.length < limit; at--) this.#take(at, events);
      events.reverse();
      return { events, last: this.#last, missed: false };
    }
    for (let at = this.#behind(after); at < this.#all.length && events.length < limit; at++) this.#take(at, events);
    const last = events.length === limit ? (events.at(-1)?.number ?? after) : this.#last;
    // Numbers are given without a gap, so each one that is not here was dropped.
    return { events, last, missed: last - after > events.length };
  }

  #take(at: number, events: JobEvent[]): void {
    const { event, isKept } = this.#all[at] as Entry;
    if (isKept) events.push(event);
  }

  /** Position of the first with a higher number. */
  #behind(number: number): number {
    let [low, high] = [0, this.#all.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#all[middle] as Entry).event.number <= number) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
