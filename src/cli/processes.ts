/**
 * `--processes N`: a primary that runs N copies of the program, which share one port and one backend.
 *
 * node:cluster hands each connection to one of them in turn. A copy that dies is replaced, after a pause that grows when
 * they keep dying; one that cannot even start ends the whole. Copies end when the primary does, however it ends.
 */
import cluster, { type Worker } from 'node:cluster';
import { fileURLToPath } from 'node:url';
import { type Clock, systemClock, type Timer } from '../clock.ts';
import { MillraceError } from '../errors.ts';
import { exponential } from '../job/backoff.ts';
import { Service } from '../lifecycle.ts';
import type { Totals } from './live.ts';
import type { Log } from './log.ts';

export interface HerdOptions {
  readonly processes: number;
  /** Command and flags of each copy. */
  readonly args: readonly string[];
  readonly log: Log;
  readonly clock?: Clock;
}

type Message = { readonly ready: string | null } | { readonly totals: Totals };

const pause = exponential({ base: 200, max: 10_000 });
/** A copy that lived this long, ms, died for a new reason: the pause begins anew. */
const LONG_LIFE = 60_000;

export class Herd extends Service {
  readonly #options: HerdOptions;
  readonly #clock: Clock;
  readonly #totals = new Map<number, Totals>();
  readonly #respawns = new Set<Timer>();
  /** Of copies that are gone; `accepted` counts them too. */
  #acceptedBefore = 0;
  #deaths = 0;
  #url: string | undefined;

  constructor(options: HerdOptions) {
    super();
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Where the copies listen; undefined when they have no door. */
  get url(): string | undefined {
    return this.#url;
  }

  /** Counts of the shared backend are the newest that any copy told; what the doors accepted is summed. */
  totals(): Totals {
    const all = [...this.#totals.values()];
    const newest = (key: 'waiting' | 'uploaded' | 'failed') => Math.max(0, ...all.map((totals) => totals[key]));
    const accepted = all.reduce((sum, totals) => sum + totals.accepted, this.#acceptedBefore);
    return { accepted, waiting: all.at(-1)?.waiting ?? 0, uploaded: newest('uploaded'), failed: newest('failed') };
  }

  protected override async onStart(): Promise<void> {
    cluster.setupPrimary({ exec: fileURLToPath(new URL('./main.ts', import.meta.url)), args: [...this.#options.args] });
    // The first one creates the database; the others then find it ready.
    this.#url = await this.#spawn();
    await Promise.all(Array.from({ length: this.#options.processes - 1 }, () => this.#spawn()));
  }

  protected override async onStop(): Promise<void> {
    for (const timer of this.#respawns) timer.cancel();
    const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined);
    const gone = workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)));
    for (const worker of workers) worker.process.kill('SIGTERM');
    await Promise.all(gone);
  }

  /** Resolves when the copy is ready, to its URL. Rejects when it ends before that. */
  #spawn(): Promise<string | undefined> {
    const bornAt = this.#clock.monotonic();
    const worker = cluster.fork();
    return new Promise((resolve, reject) => {
      let ready = false;
      worker.on('message', (message: Message) => {
        if ('totals' in message) this.#totals.set(worker.id, message.totals);
        else {
          ready = true;
          resolve(message.ready ?? undefined);
        }
      });
      worker.once('exit', (code, signal) => {
        if (ready) this.#buried(worker, code, signal, bornAt);
        else
          reject(
            new MillraceError('STOPPED', { what: `a process (${signal ?? `exit code ${code}`}) that was starting` }),
          );
      });
    });
  }

  #buried(worker: Worker, code: number, signal: string, bornAt: number): void {
    this.#acceptedBefore += this.#totals.get(worker.id)?.accepted ?? 0;
    this.#totals.delete(worker.id);
    if (this.state !== 'running') return;
    this.#options.log('error', 'a process died and is replaced', { pid: worker.process.pid, code, signal });
    this.#replace(this.#clock.monotonic() - bornAt > LONG_LIFE);
  }

  #replace(afterLongLife: boolean): void {
    this.#deaths = afterLongLife ? 1 : this.#deaths + 1;
    const timer = this.#clock.timer(
      pause(this.#deaths, Math.random, new MillraceError('STOPPED', { what: 'a process' })),
      () => {
        this.#respawns.delete(timer);
        this.#spawn().catch((error: unknown) => {
          this.#options.log('error', 'a process could not start; trying again', { error });
          if (this.state === 'running') this.#replace(false);
        });
      },
    );
    this.#respawns.add(timer);
  }
}

/** In a copy: tells the primary that it is ready, then its totals every second. Ends the copy when the primary is gone. */
export function reportTo(
  parent: NodeJS.Process,
  copy: { totals(): Totals; readonly url: string | undefined },
  clock: Clock = systemClock,
): () => void {
  const orphaned = () => parent.kill(parent.pid, 'SIGTERM');
  parent.once('disconnect', orphaned);
  parent.send?.({ ready: copy.url ?? null } satisfies Message);
  let timer: Timer;
  const tell = () => {
    parent.send?.({ totals: copy.totals() } satisfies Message);
    timer = clock.timer(1_000, tell, { unref: true });
  };
  tell();
  return () => {
    timer.cancel();
    parent.off('disconnect', orphaned);
  };
}
