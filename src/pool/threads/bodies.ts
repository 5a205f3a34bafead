/**
 * Inside a thread: starts the bodies of the jobs that arrive, in their order, `concurrency` at a time, and sends their
 * results back in bursts.
 *
 *   port ─▶ bursts ─▶ lane: begin ─ body ─ end ─┐
 *                 └─▶ lane: …                   ├─▶ results ─▶ port
 *                                               ┘    when the bursts are used up, half used up, or FLUSH_AFTER has passed
 *
 * Promises: a body starts only if the main thread has not taken its job back (slots.ts decides). Results are gathered for
 * 0.1 ms of work at most, so what a body that runs away holds back (or takes with it, when its thread has to be ended) is
 * what ended in the 0.1 ms before it; nothing at all once a body has taken longer than 2 ms. Timers and sockets of the
 * thread get a turn every 10 ms. Costs per job: a context, three atomic steps and one look at the clock.
 */
import { type MessagePort, receiveMessageOnPort, type Transferable, threadId } from 'node:worker_threads';
import { MillraceError } from '../../errors.ts';
import { type ThreadContext, type ThreadWorker, takeMoved } from './context.ts';
import { FREE, type Slots, STOPPING } from './slots.ts';
import { type Burst, flatCopy, type ToThread, whyNotCloneable } from './wire.ts';
import { packError, unpackError } from './wire-error.ts';

/** ms that bodies may follow one another before the event loop gets a turn. */
const SLICE = 10;
/** ms of work whose results may be gathered: after that they are sent before the next body starts. */
const FLUSH_AFTER = 0.1;
/** ms that a refill takes: a thread with more work than that asks for it when half is done, one with less when all is. */
const ROUND_TRIP = 0.05;
/** ms of one body from which results are no longer gathered; forgotten a hundred bodies later. */
const LONG = 2;
/** Most results of one message: half the largest window, so that the other half is at work while the crew refills. */
const MANY = 128;
/** ms between two looks at the heap. */
const HEAP_EVERY = 20;

export interface BodiesOptions {
  readonly port: MessagePort;
  readonly slots: Slots;
  readonly concurrency: number;
  readonly body: ThreadWorker;
  /** Bytes of heap in use, if somebody wants to know. */
  readonly heap: (() => number) | undefined;
}

export class Bodies {
  readonly #port: MessagePort;
  readonly #slots: Slots;
  readonly #concurrency: number;
  readonly #body: ThreadWorker;
  readonly #heap: (() => number) | undefined;
  /** The burst that is worked on, and those behind it. */
  #burst: Burst = [];
  #at = 0;
  #later: Burst[] = [];
  #waiting = 0;
  #lanes = 0;
  #resting = false;
  readonly #contexts: (Context | undefined)[];
  #results: Burst = [];
  readonly #objects = new Set<unknown>();
  #flushedAt = 0;
  /** Entries were passed by whose jobs had been taken back. */
  #passed = false;
  #flushing = false;
  /** The longest of the last bodies, ms, fading. */
  #longest = 0;
  #turnAt = 0;
  #heapAt = Number.NEGATIVE_INFINITY;

  constructor({ port, slots, concurrency, body, heap }: BodiesOptions) {
    this.#port = port;
    this.#slots = slots;
    this.#concurrency = concurrency;
    this.#body = body;
    this.#heap = heap;
    this.#contexts = new Array(slots.size).fill(undefined);
    port.on('message', (message: ToThread) => {
      // Bursts that have arrived since are worked on as one, and answered as one: else they would never grow again.
      for (let next: ToThread | undefined = message; next; next = receive(port)) this.#take(next);
      if (this.#lanes === 0) this.#turnAt = performance.now();
      this.#open();
    });
  }

  /** Sends what has ended. Also the last act of a thread that ends by itself. */
  flush(now = performance.now()): void {
    this.#flushedAt = now;
    // An empty message tells that slots have become free: the crew may have jobs and be waiting for one.
    if (this.#results.length === 0 && !this.#passed) return;
    this.#passed = false;
    const results = this.#results;
    this.#results = [];
    this.#objects.clear();
    this.#lookAtHeap();
    try {
      this.#port.postMessage(results);
    } catch {
      // One of them cannot be cloned. Nothing has left: each goes by itself, and fails by itself.
      for (let i = 0; i < results.length; i += 2) this.#post(results[i] as number, results[i + 1]);
    }
  }

  #take(message: ToThread): void {
    if (!Array.isArray(message)) {
      this.#contexts[message.slot]?.abort(unpackError(message.reason));
      return;
    }
    if (this.#waiting === 0) {
      this.#burst = message;
      this.#at = 0;
    } else this.#later.push(message);
    this.#waiting += message.length / 2;
  }

  #open(): void {
    while (!this.#resting && this.#waiting > 0 && this.#lanes < this.#concurrency) void this.#lane();
  }

  /** One body after the other; `concurrency` lanes take from the same bursts. */
  async #lane(): Promise<void> {
    this.#lanes++;
    let now = performance.now();
    if (this.#results.length === 0) this.#flushedAt = now;
    while (this.#waiting > 0) {
      if (now - this.#turnAt > SLICE) {
        this.#rest();
        break;
      }
      const at = this.#next();
      const slot = this.#burst[at] as number;
      const payload = this.#burst[at + 1];
      this.#burst[at + 1] = undefined;
      if (!this.#slots.begin(slot, now)) {
        this.#slots.set(slot, FREE);
        this.#passed = true;
        continue;
      }
      if (this.#results.length > 0 && (this.#longest > LONG || now - this.#flushedAt > FLUSH_AFTER)) this.flush(now);

      const context = new Context(this.#port, this.#slots, slot);
      this.#contexts[slot] = context;
      let value: unknown;
      let threw = false;
      try {
        value = this.#body(payload, context);
        if (isThenable(value)) value = await value;
      } catch (error) {
        value = error;
        threw = true;
      }
      const end = performance.now();
      this.#end(slot, context, value, threw, end - now, end);
      now = end;
    }
    this.#lanes--;
    if (this.#lanes === 0) this.flush();
    else this.#flushSoon();
  }

  /** Where in the burst the next entry is. */
  #next(): number {
    if (this.#at === this.#burst.length) {
      this.#burst = this.#later.shift() as Burst;
      this.#at = 0;
    }
    this.#waiting--;
    this.#at += 2;
    return this.#at - 2;
  }

  /**
   * DANGER: between here and the post a result exists only in this thread. If it dies now, the job fails with THREAD_DIED
   * although its body has ended; `process.exit` and uncaught errors still pass `flush`.
   */
  #end(slot: number, context: Context, value: unknown, threw: boolean, took: number, now: number): void {
    context.close();
    this.#contexts[slot] = undefined;
    this.#slots.end(slot, took);
    this.#longest = Math.max(took, this.#longest * 0.98);
    const moved = threw ? undefined : takeMoved(value);
    if (moved) {
      this.flush();
      this.#post(slot, moved.value, moved.transfer);
      return;
    }
    if (threw) {
      value = context.isReason(value) ? { kind: 'reason' } : packError(value);
    } else if (typeof value === 'object' && value !== null) {
      // Two results that are one object must arrive as two, as if each had gone by itself.
      if (this.#objects.has(value)) {
        const copy = flatCopy(value);
        if (copy) value = copy;
        else this.flush(now);
      }
      this.#objects.add(value);
    }
    this.#results.push(threw ? ~slot : slot, value);
    const count = this.#results.length / 2;
    const isHalf = count >= this.#waiting && now - this.#flushedAt > ROUND_TRIP;
    if (count >= MANY || isHalf) this.flush(now);
  }

  #post(slot: number, value: unknown, transfer: readonly Transferable[] = []): void {
    try {
      this.#port.postMessage([slot, value], transfer);
    } catch (error) {
      const reason = whyNotCloneable(value, error);
      const failure = new MillraceError('TASK_NOT_CLONEABLE', { what: 'result', reason }, { cause: error });
      this.#port.postMessage([slot < 0 ? slot : ~slot, packError(failure)]);
    }
  }

  /** With several lanes, those that end in this turn share one message. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.flush();
    });
  }

  /** Lets timers, sockets and messages have their turn. */
  #rest(): void {
    if (this.#resting) return;
    this.#resting = true;
    this.flush();
    setImmediate(() => {
      this.#resting = false;
      this.#turnAt = performance.now();
      this.#open();
    });
  }

  #lookAtHeap(): void {
    if (!this.#heap) return;
    const now = performance.now();
    if (now - this.#heapAt < HEAP_EVERY) return;
    this.#heapAt = now;
    this.#slots.heap = this.#heap();
  }
}

class Context implements ThreadContext {
  readonly #port: MessagePort;
  readonly #slots: Slots;
  #slot: number;
  #aborted = false;
  #told = false;
  #reason: unknown;
  #controller: AbortController | undefined;

  constructor(port: MessagePort, slots: Slots, slot: number) {
    this.#port = port;
    this.#slots = slots;
    this.#slot = slot;
  }

  get threadId(): number {
    return threadId;
  }

  get aborted(): boolean {
    return this.#aborted || (this.#slot >= 0 && this.#slots.state(this.#slot) === STOPPING);
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#told) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  send(value: unknown, transfer: readonly Transferable[] = []): void {
    if (this.#slot < 0) return;
    try {
      this.#port.postMessage({ kind: 'sent', slot: this.#slot, value }, transfer);
    } catch (error) {
      const reason = whyNotCloneable(value, error);
      throw new MillraceError('TASK_NOT_CLONEABLE', { what: 'message', reason }, { cause: error });
    }
  }

  abort(reason: unknown): void {
    this.#aborted = true;
    this.#told = true;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }

  isReason(value: unknown): boolean {
    return this.#told && value === this.#reason;
  }

  /** The body has ended: the slot will be another's. */
  close(): void {
    this.#aborted = this.aborted;
    this.#slot = -1;
  }
}

function receive(port: MessagePort): ToThread | undefined {
  return receiveMessageOnPort(port)?.message;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
