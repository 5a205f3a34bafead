/**
 * What others want of the jobs that this server runs, brought to where the job is.
 *
 * The backend says when there may be some; a look at each beat makes good for a word that got lost. An order stands in the
 * backend until its job is settled, so reading it twice does nothing, and forgetting it is not possible.
 */
import type { Backend, ClaimedJob, Order, Signal } from '../backend/backend.ts';
import { toError } from '../errors.ts';
import type { Observer } from './events.ts';
import { isFor } from './executor.ts';

export interface OrdersOptions {
  readonly backend: Backend;
  readonly server: string;
  readonly observe: Observer | undefined;
  /** Called with each order whenever they are read. */
  readonly carryOut: (order: Order) => void;
  /** Called whenever somebody wants something of the server itself. */
  readonly obey: (signal: Signal) => void;
}

export class Orders {
  readonly #options: OrdersOptions;
  #standing: readonly Order[] = [];
  #reading: Promise<void> | undefined;
  #again = false;
  #stopListening: () => void = () => undefined;

  constructor(options: OrdersOptions) {
    this.#options = options;
  }

  start(): void {
    const { backend, server } = this.#options;
    this.#stopListening = backend.listen({ orders: server }, () => void this.read());
  }

  stop(): void {
    this.#stopListening();
  }

  /** The order for a job that has not started, if there is one. */
  for(job: ClaimedJob): Order | undefined {
    return this.#standing.length === 0 ? undefined : this.#standing.find((order) => isFor(order, job));
  }

  /** Looks for orders. Never rejects. */
  read(): Promise<void> {
    this.#again = true;
    this.#reading ??= this.#read();
    return this.#reading;
  }

  async #read(): Promise<void> {
    const { backend, server, observe, carryOut, obey } = this.#options;
    while (this.#again) {
      this.#again = false;
      try {
        this.#standing = await backend.orders(server);
        for (const order of this.#standing) carryOut(order);
        const signal = await backend.signal?.(server);
        if (signal) obey(signal);
      } catch (error) {
        observe?.({ type: 'backend-error', error: toError(error), doing: 'orders', retryIn: 0 });
      }
    }
    this.#reading = undefined;
  }
}
