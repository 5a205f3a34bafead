/**
 * Who wants to be woken, and for which queues. Many reasons in one turn of the event loop are one call per listener.
 */
interface Entry {
  readonly queues: ReadonlySet<string>;
  readonly listener: () => void;
}

export class Listeners {
  readonly #entries = new Set<Entry>();
  readonly #woken = new Set<string>();

  get size(): number {
    return this.#entries.size;
  }

  /** Returns the way to remove it; a removed listener is not called any more, not even for what was noted before. */
  add(queues: readonly string[], listener: () => void): () => void {
    const entry = { queues: new Set(queues), listener };
    this.#entries.add(entry);
    return () => void this.#entries.delete(entry);
  }

  /** Notes that something in `queue` may have become available. Costs nothing while nobody listens. */
  wake(queue: string): void {
    if (this.#entries.size === 0) return;
    if (this.#woken.size === 0) setImmediate(() => this.#call());
    this.#woken.add(queue);
  }

  clear(): void {
    this.#entries.clear();
  }

  #call(): void {
    const woken = [...this.#woken];
    this.#woken.clear();
    for (const entry of [...this.#entries]) {
      // One that was called may have removed another.
      if (this.#entries.has(entry) && woken.some((queue) => entry.queues.has(queue))) entry.listener();
    }
  }
}
