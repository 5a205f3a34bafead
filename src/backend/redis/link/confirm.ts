/**
 * Holds answers back until replicas, or the disk, have what was written before them. All that is written on a connection
 * while one question (WAIT, WAITAOF) is under way is asked for with the next: the server keeps a connection waiting for it,
 * so there is never more than one.
 */
import type { Arguments } from './driver.ts';

export interface Waits {
  readonly replicas: number;
  readonly disk: boolean;
}

/** Who waits: told by `missing` what there is not yet, and left alone once it is `over`. */
export interface Waiting {
  readonly over: boolean;
  missing(what: string): void;
}

interface Entry {
  readonly waiting: Waiting;
  resolve(): void;
  reject(error: unknown): void;
}

export class Confirmations {
  readonly #send: (args: Arguments) => Promise<unknown>;
  readonly #waits: Waits;
  /** How long the server may keep the connection for one question, ms. */
  readonly #patience: number;
  #entries: Entry[] = [];
  #isAsking = false;

  constructor(send: (args: Arguments) => Promise<unknown>, waits: Waits, patience: number) {
    this.#send = send;
    this.#waits = waits;
    this.#patience = patience;
  }

  /** Call it in the turn in which the write was sent. Rejects when the connection is lost. */
  confirm(waiting: Waiting): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#entries.push({ waiting, resolve, reject });
      if (this.#isAsking) return;
      this.#isAsking = true;
      // After all that is sent in this turn, and still in the same packet.
      queueMicrotask(() => void this.#ask());
    });
  }

  async #ask(): Promise<void> {
    while (this.#entries.length > 0) {
      const asked = this.#entries;
      this.#entries = [];
      try {
        const missing = await this.#missing();
        for (const entry of asked) {
          if (missing === undefined || entry.waiting.over) {
            entry.resolve();
          } else {
            entry.waiting.missing(missing);
            this.#entries.push(entry);
          }
        }
      } catch (error) {
        for (const entry of asked) entry.reject(error);
      }
    }
    this.#isAsking = false;
  }

  /** Undefined: everything sent so far is where it should be. */
  async #missing(): Promise<string | undefined> {
    const { replicas, disk } = this.#waits;
    const patience = String(this.#patience);
    const [copies, synced] = await Promise.all([
      replicas > 0 ? this.#send(['WAIT', String(replicas), patience]) : replicas,
      disk ? this.#send(['WAITAOF', '1', '0', patience]) : [1],
    ]);
    if (Number(copies) < replicas) return `${copies} of ${replicas} replicas have it`;
    if (Number((synced as unknown[])[0]) < 1) return 'it is not on the disk yet';
    return undefined;
  }
}
