/**
 * Makes the jobs of schedules when their time has come.
 *
 *   dueSchedules ─▶ rule ─▶ firings ─▶ fire, if nobody has meanwhile ─▶ again at once ─ nothing due ─▶ sleep until `nextAt`
 *
 * Every server does this, and each tick makes its job once: a firing names the tick that it was computed from, and the
 * backend takes it only while that is still the next one. What is due is said by the backend's clock, so a server whose
 * own clock is wrong fires nothing early and nothing twice.
 *
 * Ticks that nobody was there for are made good as the rule's `catchUp` says: at most 1,000 or so in one call, and fewer when
 * their payloads are large; on it goes until it has caught up. An idle scheduler costs one look a minute.
 */
import type { Backend, NewJob } from '../backend/backend.ts';
import type { Firing, Schedule, ScheduleRecord } from '../backend/schedule.ts';
import type { Clock, Timer } from '../clock.ts';
import { isError, toError } from '../errors.ts';
import { exponential } from '../job/backoff.ts';
import {
  latestTick,
  nextTick,
  type ParsedRule,
  parseRule,
  scheduleHeader,
  tickHeader,
  ticksUpTo,
} from '../job/rule.ts';
import type { Observer } from './events.ts';

export interface SchedulerOptions {
  readonly backend: Backend;
  readonly clock: Clock;
  readonly random: () => number;
  readonly observe: Observer | undefined;
}

/** Longest sleep, ms: a word of a new schedule may get lost. */
const MAX_SLEEP = 60_000;
/** Schedules in one look. */
const MANY = 100;
/** In one call, unless a single job is larger: as much as a claim may bring. */
const MAX_BYTES = 16 * 1024 * 1024;
/** What a firing weighs beside its payload; so this bounds their number too. */
const FIRING_BYTES = 16 * 1024;
/** Parsed rules that are kept. */
const MAX_RULES = 1_000;
/** Others were faster with all of them: no need to look again at once. */
const AFTER_OTHERS = 100;

const retryAfter = exponential({ base: 100, max: 5_000 });

export class Scheduler {
  readonly #options: SchedulerOptions;
  /** By their texts. */
  readonly #rules = new Map<string, ParsedRule>();
  /** Keys of due schedules that this server cannot fire: they stay due, and must neither hide nor hold up others. */
  #hopeless = new Set<string>();
  #stopped = false;
  #woken = false;
  #resume: () => void = () => undefined;
  #stopListening: () => void = () => undefined;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: SchedulerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#stopListening = this.#options.backend.listen({ schedules: true }, () => {
      this.#woken = true;
      this.#resume();
    });
    this.#loop = this.#run();
  }

  /** Resolves when no firing is under way and none will follow. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopListening();
    this.#resume();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { random, observe } = this.#options;
    let failures = 0;
    while (!this.#stopped) {
      this.#woken = false;
      try {
        const wait = await this.#step();
        failures = 0;
        if (wait > 0) await this.#sleep(wait);
      } catch (error) {
        const retryIn = retryAfter(++failures, random, toError(error));
        observe?.({ type: 'backend-error', error: toError(error), doing: 'schedules', retryIn });
        await this.#sleep(retryIn);
      }
    }
  }

  /** Fires what is due. Resolves to the ms until the next look. */
  async #step(): Promise<number> {
    const { backend } = this.#options;
    const { now, due, nextAt } = await backend.dueSchedules(MANY + this.#hopeless.size);
    const hopeless = new Set<string>();
    const together: Firing[][] = [];
    const alone: Firing[][] = [];
    for (const record of due) {
      const rule = await this.#read(record);
      if (!rule) hopeless.add(record.key);
      else (this.#hopeless.has(record.key) ? alone : together).push(firingsOf(record, rule, now));
    }
    const fired: boolean[] = [];
    for (const call of inCalls(together)) fired.push(...(await this.#fire(call, hopeless)));
    for (const firings of alone) fired.push(...(await this.#fire([firings], hopeless)));
    this.#hopeless = hopeless;
    if (fired.includes(true)) return 0;
    if (fired.includes(false)) return AFTER_OTHERS;
    return Math.min(MAX_SLEEP, nextAt === undefined ? MAX_SLEEP : Math.max(1, nextAt - now));
  }

  /**
   * Fires what is due of some schedules. When the backend finds something in one of them that it does not take, each goes
   * alone, and that one is added to `hopeless`.
   * Resolves to true where something was fired, false where others had done all; nothing of a schedule that was refused.
   */
  async #fire(schedules: readonly (readonly Firing[])[], hopeless: Set<string>): Promise<boolean[]> {
    const { backend, observe } = this.#options;
    const firings = schedules.flat();
    try {
      const results = await backend.fire(firings);
      firings.forEach(({ key: schedule, tick, jobs, nextAt }, i) => {
        const result = results[i];
        if (result?.status !== 'fired') return;
        if (jobs.length === 0) observe?.({ type: 'skipped', schedule, tick, nextAt });
        else observe?.({ type: 'fired', schedule, tick, ids: result.ids });
      });
      return [results.some(({ status }) => status === 'fired')];
    } catch (error) {
      if (!isError(error, 'OPTION_INVALID') && !isError(error, 'NOT_SUPPORTED')) throw error;
      const [only, ...others] = schedules;
      if (others.length === 0) {
        const key = only?.[0]?.key ?? '';
        this.#giveUp(key, error);
        hopeless.add(key);
        return [];
      }
      const fired: boolean[] = [];
      for (const each of schedules) fired.push(...(await this.#fire([each], hopeless)));
      return fired;
    }
  }

  /** Told once, for as long as it is due. */
  #giveUp(schedule: string, error: unknown): void {
    if (!this.#hopeless.has(schedule)) {
      this.#options.observe?.({ type: 'schedule-error', schedule, error: toError(error) });
    }
  }

  async #read({ key, rule }: ScheduleRecord): Promise<ParsedRule | undefined> {
    const known = this.#rules.get(rule);
    if (known) return known;
    try {
      const parsed = await parseRule(rule, key);
      if (this.#rules.size >= MAX_RULES) this.#rules.clear();
      this.#rules.set(rule, parsed);
      return parsed;
    } catch (error) {
      this.#giveUp(key, error);
      return undefined;
    }
  }

  #sleep(ms: number): Promise<void> {
    if (this.#stopped || this.#woken) return Promise.resolve();
    return new Promise((resolve) => {
      const timer: Timer = this.#options.clock.timer(ms, () => this.#resume());
      this.#resume = () => {
        timer.cancel();
        this.#resume = () => undefined;
        resolve();
      };
    });
  }
}

/** One after the other, as many in a call as may be. */
function inCalls(schedules: readonly (readonly Firing[])[]): (readonly Firing[])[][] {
  const calls: (readonly Firing[])[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const firings of schedules) {
    const more = firings.length * weigh(firings[0]?.jobs[0]);
    if (bytes + more > MAX_BYTES) {
      calls.push([]);
      bytes = 0;
    }
    calls.at(-1)?.push(firings);
    bytes += more;
  }
  return calls;
}

function weigh(job: { readonly payload: Uint8Array } | undefined): number {
  return FIRING_BYTES + (job?.payload.byteLength ?? 0);
}

/** The steps that bring a schedule from its due tick as far as one call may. */
function firingsOf(record: ScheduleRecord, rule: ParsedRule, now: number): Firing[] {
  const { key, fired, job, nextAt: due } = record;
  if (due === undefined) return [];
  if (fired >= rule.limit) return [{ key, tick: due, jobs: [], nextAt: undefined }];
  if (rule.catchUp === 'one') {
    const tick = latestTick(rule, due, now);
    return [{ key, tick: due, jobs: [jobOf(key, job, tick)], nextAt: nextTick(rule, tick, fired + 1) }];
  }
  const inTime = now - rule.lateness;
  if (due < inTime) return [{ key, tick: due, jobs: [], nextAt: nextTick(rule, Math.ceil(inTime) - 1, fired) }];
  const most = Math.max(1, Math.floor(MAX_BYTES / weigh(job)));
  // A firing per tick, each of which begins where the one before ended.
  return ticksUpTo(rule, due, now, Math.min(most, rule.limit - fired)).map((tick, i) => ({
    key,
    tick,
    jobs: [jobOf(key, job, tick)],
    nextAt: nextTick(rule, tick, fired + i + 1),
  }));
}

function jobOf(key: string, job: Schedule['job'], tick: number): NewJob {
  const headers = { ...job.headers, [scheduleHeader]: key, [tickHeader]: new Date(tick).toISOString() };
  return { ...job, headers };
}
