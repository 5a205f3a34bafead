/**
 * What the workers of our servers have done, for the counters that others show beside each of them. Written now and then: written
 * with each job they would cost Redis a tenth more. The counters of all workers together are exact at any moment.
 */
import type { Ending, SettleResult } from '../backend.ts';
import type { Settings } from './options.ts';
import { slotOf } from './token.ts';

interface Count {
  processed: number;
  failed: number;
}

export class Counts {
  readonly #settings: Pick<Settings, 'manner' | 'delivery'>;
  readonly #servers = new Map<string, Map<number, Count>>();

  constructor(settings: Pick<Settings, 'manner' | 'delivery'>) {
    this.#settings = settings;
  }

  /** After an outcome was answered. */
  add(server: string, claim: number, { kind }: Ending, result: SettleResult | undefined): void {
    if (result !== 'taken' || kind === 'snoozed') return;
    const { manner, delivery } = this.#settings;
    if (kind === 'returned' && delivery === 'at-least-once') return;
    const isFailed = kind !== 'completed' && kind !== 'cancelled';
    const slots = this.#servers.get(server) ?? new Map<number, Count>();
    const slot = slotOf(claim);
    const count = slots.get(slot) ?? { processed: 0, failed: 0 };
    this.#servers.set(server, slots);
    slots.set(slot, count);
    if (!isFailed || manner === 'resque') count.processed++;
    if (isFailed) count.failed++;
  }

  /** Nobody wants to know any more: the server is gone. */
  forget(server: string): void {
    this.#servers.delete(server);
  }

  /** Of every server its id, and slot, processed, failed, … since they were taken last. */
  take(): (string | string[])[] {
    const all = [...this.#servers].flatMap(([server, slots]) => [
      server,
      [...slots].flatMap(([slot, { processed, failed }]) => [slot, processed, failed].map(String)),
    ]);
    this.#servers.clear();
    return all;
  }
}
