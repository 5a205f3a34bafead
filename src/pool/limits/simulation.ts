/**
 * A store and its callers in virtual time, for tests of concurrency limits: no promise, no timer, a minute of traffic
 * in a few milliseconds.
 *
 *   jobs ──interval──▶ waiting ──slot free──▶ attempt ──▶ store ──rtt──▶ answer ──lag──▶ sample ──▶ limit
 *                      ▲                                                    │
 *                      └─────────────back-off, slot given back──────────────┘ overload
 *
 * Everything random comes from one seed, so a run is the same every time.
 */
import type { Clock } from '../../clock.ts';
import type { Limit, Sample } from './limit.ts';

/** An attempt as the store sees it. */
export interface Arrival {
  /** Attempts at the store, this one included. */
  readonly inFlight: number;
  /** Attempts that began within the last second, this one included. */
  readonly rate: number;
  /** Attempts that ended well so far. */
  readonly stored: number;
  /** Seconds since the start. */
  readonly time: number;
  readonly bytes: number;
  readonly random: () => number;
}

/** What the store makes of an attempt; decided when it arrives. `rtt` in ms; Infinity: it is lost, and never answered. */
export type Store = (arrival: Arrival) => { outcome: 'ok' | 'overload'; rtt: number };

export interface Simulation {
  readonly store: Store;
  /** Makes the limit of a process; the first is 0. */
  readonly limit: (clock: Clock, process: number) => Limit;
  /** Processes that share the store, each with a limit of its own. Default 1. */
  readonly processes?: number;
  /** Seconds after the first at which each further process begins. Default 0. */
  readonly apart?: number;
  /** Most attempts that a process wants in flight. Default: as many as it may. */
  readonly callers?: number;
  /** Jobs in all; the run ends when they are done. Default: endless. */
  readonly jobs?: number;
  /** Milliseconds from one job to the next. Default 0: all are there from the start. */
  readonly interval?: number;
  /** Milliseconds that a caller waits for an answer. Default: for ever. */
  readonly timeout?: number;
  /** Milliseconds until a job that failed so often wants its turn again, before others. Default: it is given up. */
  readonly backoff?: (failures: number) => number;
  /** Size of a job that begins at a time in seconds. Default 0. */
  readonly bytes?: (time: number, random: () => number) => number;
  /** Milliseconds by which the callers notice an answer late, at a time in seconds. Default 0. */
  readonly lag?: (time: number) => number;
  /** Whether latencies are taken at that time, in seconds. Default: always. */
  readonly trusted?: (time: number) => boolean;
  /** Seconds. Only what happens between is counted. Default: all. */
  readonly from?: number;
  readonly until?: number;
}

export interface Range {
  readonly min: number;
  readonly max: number;
  readonly mean: number;
}

/** Of a value over time. */
export interface Stats extends Range {
  /** What it was for most of the time. */
  readonly mode: number;
}

export interface ProcessReport {
  /** Attempts that ended well. */
  readonly ok: number;
  readonly limit: Stats;
  /** Attempts under way, as the callers see it. */
  readonly slots: Stats;
  /** The limit at the end. */
  readonly lastLimit: number;
}

/** `limit`, `slots` and `lastLimit` are those of the first process. */
export interface Report extends ProcessReport {
  readonly overload: number;
  /** Attempts that ended well, per second. */
  readonly throughput: number;
  /** At the store. */
  readonly inFlight: Stats;
  /** Attempts begun within a second. */
  readonly rate: Stats;
  /** Milliseconds that the store took for the attempts that ended well, from the start on. */
  readonly rtt: Range;
  readonly processes: readonly ProcessReport[];
}

interface Job {
  readonly bytes: number;
  failures: number;
}

interface Process {
  readonly limit: Limit;
  /** Those whose back-off is over. */
  readonly retries: Job[];
  slots: number;
  ok: number;
  readonly limitStats: Weighed;
  readonly slotStats: Weighed;
}

export function simulate(options: Simulation): Report {
  const { store, callers = Infinity, jobs = Infinity, interval = 0, timeout = Infinity, backoff } = options;
  const { apart = 0, bytes = () => 0, lag = () => 0, trusted = () => true, from = 0, until = Infinity } = options;
  const random = seeded(1);
  const events: Event[] = [];
  let now = 0;
  const clock: Clock = { now: () => now, monotonic: () => now, timer: () => ({ cancel() {} }) };
  const weighed = () => new Weighed(from * 1000);
  const at = (time: number, run: () => void) => insert(events, { at: time, run });

  const processes: Process[] = Array.from({ length: options.processes ?? 1 }, (_, index) => ({
    limit: options.limit(clock, index),
    retries: [],
    slots: 0,
    ok: 0,
    limitStats: weighed(),
    slotStats: weighed(),
  }));
  const stats = { inFlight: weighed(), rate: weighed() };
  let rtts = { min: Infinity, max: 0, mean: 0 };
  const recent = new Recent();
  let inFlight = 0;
  let arrived = interval > 0 ? 0 : jobs;
  let begun = 0;
  let done = 0;
  let stored = 0;
  let overload = 0;

  function arrive(): void {
    arrived++;
    if (arrived < jobs) at(now + interval, arrive);
    for (const process of processes) fill(process);
  }

  function fill(process: Process): void {
    while (process.slots < Math.min(process.limit.limit, callers)) {
      const job = process.retries.shift() ?? newJob();
      if (!job) return;
      changeSlots(process, 1);
      attempt(process, job);
    }
  }

  function newJob(): Job | undefined {
    if (begun === arrived) return undefined;
    begun++;
    return { bytes: bytes(now / 1000, random), failures: 0 };
  }

  function attempt(process: Process, job: Job): void {
    const startedAt = now;
    const { slots } = process;
    recent.add(now);
    changeInFlight(1);
    const rate = recent.count(now);
    const { outcome, rtt } = store({ inFlight, rate, stored, time: now / 1000, bytes: job.bytes, random });
    const noticed = now + Math.min(rtt, timeout) + lag((now + rtt) / 1000);
    const told = rtt <= timeout ? outcome : 'overload';
    const together = now + rtt === noticed;
    if (rtt === Infinity) changeInFlight(-1);
    else if (!together) at(now + rtt, () => changeInFlight(-1));
    at(noticed, () => {
      if (together) changeInFlight(-1);
      end(process, job, { outcome: told, startedAt, inFlight: slots, bytes: job.bytes }, rtt);
    });
  }

  function end(process: Process, job: Job, sample: Sample, rtt: number): void {
    process.limitStats.add(process.limit.limit, now);
    const ok = sample.outcome === 'ok';
    process.limit.sample(ok && trusted(now / 1000) ? { ...sample, rtt: now - sample.startedAt } : sample);
    changeSlots(process, -1);
    if (ok) {
      stored++;
      const { min, max, mean } = rtts;
      rtts = { min: Math.min(min, rtt), max: Math.max(max, rtt), mean: mean + (rtt - mean) / stored };
    }
    if (now >= from * 1000) {
      if (ok) process.ok++;
      else overload++;
    }
    if (ok || !backoff) done++;
    else at(now + backoff(++job.failures), () => retry(process, job));
    fill(process);
  }

  function retry(process: Process, job: Job): void {
    process.retries.push(job);
    fill(process);
  }

  function changeSlots(process: Process, by: 1 | -1): void {
    process.slotStats.add(process.slots, now);
    process.slots += by;
  }

  function changeInFlight(by: 1 | -1): void {
    stats.inFlight.add(inFlight, now);
    stats.rate.add(recent.count(now), now);
    inFlight += by;
  }

  if (interval > 0) arrive();
  for (const [index, process] of processes.entries()) at(index * apart * 1000, () => fill(process));
  while (done < jobs && now < until * 1000) {
    const event = events.pop() as Event;
    now = event.at;
    event.run();
  }

  const reports = processes.map(({ ok, limit, limitStats, slotStats }) => ({
    ok,
    limit: limitStats.report(),
    slots: slotStats.report(),
    lastLimit: limit.limit,
  }));
  const ok = processes.reduce((sum, process) => sum + process.ok, 0);
  return {
    ...(reports[0] as ProcessReport),
    ok,
    overload,
    throughput: ok / (now / 1000 - from),
    inFlight: stats.inFlight.report(),
    rate: stats.rate.report(),
    rtt: rtts,
    processes: reports,
  };
}

/** A value over time: each counts for as long as it held. */
class Weighed {
  readonly #weights = new Map<number, number>();
  #last: number;

  /** @param from milliseconds; what was before does not count */
  constructor(from: number) {
    this.#last = from;
  }

  /** `value` held since the last call. */
  add(value: number, now: number): void {
    if (now <= this.#last) return;
    this.#weights.set(value, (this.#weights.get(value) ?? 0) + now - this.#last);
    this.#last = now;
  }

  report(): Stats {
    let [min, max, mode, sum, total] = [Infinity, -Infinity, Number.NaN, 0, 0];
    for (const [value, weight] of this.#weights) {
      min = Math.min(min, value);
      max = Math.max(max, value);
      if (weight > (this.#weights.get(mode) ?? 0)) mode = value;
      sum += value * weight;
      total += weight;
    }
    return { min, max, mode, mean: sum / total };
  }
}

/** Counts what began within the last second. */
class Recent {
  #times: number[] = [];
  #head = 0;

  add(now: number): void {
    this.#times.push(now);
  }

  count(now: number): number {
    while ((this.#times[this.#head] ?? now) <= now - 1000) this.#head++;
    if (this.#head > 10_000) {
      this.#times = this.#times.slice(this.#head);
      this.#head = 0;
    }
    return this.#times.length - this.#head;
  }
}

interface Event {
  readonly at: number;
  readonly run: () => void;
}

/** Keeps the events ordered, the next one last; of those at one time, the first one given comes first. */
function insert(events: Event[], event: Event): void {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((events[middle] as Event).at > event.at) low = middle + 1;
    else high = middle;
  }
  events.splice(low, 0, event);
}

/** A small generator of equal numbers on every run (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
