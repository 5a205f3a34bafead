/**
 * A bounded channel between asynchronous functions: Go's `chan T`, with signals.
 *
 *   send ──▶ waiting senders ──▶ ring of `capacity` values ──▶ waiting receivers ──▶ receive
 *            only while it is full                             only while it is empty
 *
 * Promises: values arrive in the order of the calls that sent them, each at exactly one receiver; senders get a place,
 * and receivers a value, first come first served. After `close`, receivers get what is left and then `done`. A call that
 * is aborted has sent or taken nothing. With capacity 0 a sender waits until a receiver takes its value.
 *
 * Costs: nothing per buffered value; one promise per call, and one place in line for a call that has to wait.
 */
import { assertOption, MillraceError } from '../errors.ts';
import { Ring } from './ring.ts';
import { Waiters } from './waiters.ts';

/** A value, or the end: the channel is closed and empty. */
export type Received<T> = IteratorResult<T, undefined>;

const END = { done: true, value: undefined } as const;
const SENT = Promise.resolve();

export class Channel<T> implements AsyncIterable<T, undefined> {
  /** Values it holds while nobody receives. */
  readonly capacity: number;
  readonly #values = new Ring<T>();
  readonly #senders = new Waiters<T, void>();
  readonly #receivers = new Waiters<undefined, Received<T>>();
  #closed = false;

  /** @param capacity integer from 0; 0 hands each value over directly */
  constructor(capacity: number) {
    assertOption('capacity', capacity, Number.isSafeInteger(capacity) && capacity >= 0, 'an integer from 0');
    this.capacity = capacity;
  }

  /** Values that are sent and not received. Those of waiting senders do not count: they are not sent yet. */
  get size(): number {
    return this.#values.size;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Resolves when the value has a place. Rejects with the signal's reason, or with CHANNEL_CLOSED. */
  send(value: T, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#closed) return Promise.reject(closed());
    return this.trySend(value) ? SENT : this.#senders.wait(value, signal);
  }

  /** Sends if that needs no waiting. Throws CHANNEL_CLOSED: a `false` would invite to try again for ever. */
  trySend(value: T): boolean {
    if (this.#closed) throw closed();
    const receiver = this.#receivers.take();
    if (receiver) {
      receiver.resolve({ done: false, value });
      return true;
    }
    if (this.#values.size >= this.capacity) return false;
    this.#values.push(value);
    return true;
  }

  /** Resolves with the oldest value, or with `done` when the channel is closed and empty. */
  receive(signal?: AbortSignal): Promise<Received<T>> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    const received = this.tryReceive();
    return received ? Promise.resolve(received) : this.#receivers.wait(undefined, signal);
  }

  /** What `receive` would resolve with now, or undefined when it would wait. */
  tryReceive(): Received<T> | undefined {
    if (this.#values.size > 0) {
      const value = this.#values.shift() as T;
      this.#admit();
      return { done: false, value };
    }
    const sender = this.#senders.take();
    if (sender) {
      sender.resolve();
      return { done: false, value: sender.item };
    }
    return this.#closed ? END : undefined;
  }

  /** No more values. Senders that wait are rejected with CHANNEL_CLOSED; closing again does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#senders.rejectAll(closed());
    for (let receiver = this.#receivers.take(); receiver; receiver = this.#receivers.take()) receiver.resolve(END);
  }

  /** Receives until the end. Leaving the loop early leaves the channel open: it may have other receivers. */
  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return { next: () => this.receive() };
  }

  /** A place is free: it belongs to the sender that has waited longest. */
  #admit(): void {
    const sender = this.#senders.take();
    if (!sender) return;
    this.#values.push(sender.item);
    sender.resolve();
  }
}

function closed(): MillraceError {
  return new MillraceError('CHANNEL_CLOSED', {});
}
