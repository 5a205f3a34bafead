/**
 * Who wants to hear of what. Many reasons in one turn of the event loop are one call per listener, and a reason costs
 * nothing while nobody listens.
 */
import type { Topic } from './backend.ts';

interface Entry {
  readonly wants: (heard: Heard) => boolean;
  readonly listener: () => void;
}

/** What has happened since the listeners were called last. */
interface Heard {
  readonly queues: Set<string>;
  readonly servers: Set<string>;
  news: boolean;
  schedules: boolean;
}

export class Listeners {
  readonly #entries = new Set<Entry>();
  #heard: Heard | undefined;

  get size(): number {
    return this.#entries.size;
  }

  /** Returns the way to remove it; a removed listener is not called any more, not even for what was noted before. */
  add(topic: Topic, listener: () => void): () => void {
    const entry = { wants: wantsOf(topic), listener };
    this.#entries.add(entry);
    return () => void this.#entries.delete(entry);
  }

  /** Something in `queue` may have become available. */
  wake(queue: string): void {
    this.#note()?.queues.add(queue);
  }

  /** There may be an order for `server`. */
  order(server: string): void {
    this.#note()?.servers.add(server);
  }

  /** A kept job has ended, or an event was recorded. */
  news(): void {
    const heard = this.#note();
    if (heard) heard.news = true;
  }

  /** A schedule was put or removed. */
  schedules(): void {
    const heard = this.#note();
    if (heard) heard.schedules = true;
  }

  /** Calls now, instead of at the end of this turn, those who want to hear of what was noted. */
  flush(): void {
    const heard = this.#heard;
    this.#heard = undefined;
    if (!heard) return;
    for (const entry of [...this.#entries]) {
      // One that was called may have removed another.
      if (this.#entries.has(entry) && entry.wants(heard)) entry.listener();
    }
  }

  clear(): void {
    this.#entries.clear();
  }

  #note(): Heard | undefined {
    if (this.#entries.size === 0 || this.#heard) return this.#heard;
    setImmediate(() => this.flush());
    this.#heard = { queues: new Set(), servers: new Set(), news: false, schedules: false };
    return this.#heard;
  }
}

function wantsOf(topic: Topic): (heard: Heard) => boolean {
  if ('queues' in topic) {
    const queues = [...topic.queues];
    return (heard) => queues.some((queue) => heard.queues.has(queue));
  }
  if ('orders' in topic) return (heard) => heard.servers.has(topic.orders);
  return 'news' in topic ? (heard) => heard.news : (heard) => heard.schedules;
}
