/**
 * Who listens in this process, and the channels that this takes: one per queue, server and kind of news that somebody wants to
 * hear of. What this process did itself is not told twice.
 */
import type { Topic } from '../backend.ts';
import { Listeners } from '../listeners.ts';
import type { Link } from './link/link.ts';

interface Channel {
  count: number;
  stop(): void;
}

export class Ears {
  readonly #link: Link;
  readonly #prefix: string;
  readonly #who: string;
  readonly #listeners = new Listeners();
  readonly #channels = new Map<string, Channel>();

  /** @param who what this process calls itself in what it publishes */
  constructor(link: Link, prefix: string, who: string) {
    this.#link = link;
    this.#prefix = prefix;
    this.#who = who;
  }

  listen(topic: Topic, listener: () => void): () => void {
    const remove = this.#listeners.add(topic, listener);
    const names = channelsOf(topic);
    for (const name of names) this.#open(name);
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      remove();
      for (const name of names) this.#leave(name);
    };
  }

  /** Tells the listeners of this process at once of queues that it adds to. */
  tell(queues: readonly string[]): void {
    for (const queue of queues) this.#listeners.wake(queue);
    this.#listeners.flush();
  }

  clear(): void {
    this.#listeners.clear();
    for (const { stop } of this.#channels.values()) stop();
    this.#channels.clear();
  }

  #open(name: string): void {
    const known = this.#channels.get(name);
    if (known) {
      known.count++;
      return;
    }
    const channel: Channel = { count: 1, stop: () => undefined };
    this.#channels.set(name, channel);
    channel.stop = this.#link.subscribe(this.#prefix, this.#prefix + name, (message) => {
      // An empty one says that some may have been missed: before the subscription had begun, or while it was interrupted.
      if (String(message) !== this.#who) this.#hear(name);
    });
  }

  #leave(name: string): void {
    const channel = this.#channels.get(name);
    if (!channel || --channel.count > 0) return;
    this.#channels.delete(name);
    channel.stop();
  }

  #hear(name: string): void {
    if (name === 'news') this.#listeners.news();
    else if (name === 'schedules') this.#listeners.schedules();
    else if (name.startsWith('q:')) this.#listeners.wake(name.slice(2));
    else this.#listeners.order(name.slice(2));
    this.#listeners.flush();
  }
}

function channelsOf(topic: Topic): string[] {
  if ('queues' in topic) return [...new Set(topic.queues)].map((queue) => `q:${queue}`);
  if ('orders' in topic) return [`s:${topic.orders}`];
  return ['news' in topic ? 'news' : 'schedules'];
}
