/**
 * A backend and the reference model, asked the same things: the answers are compared after each command, and all that can
 * be seen when a command says `look`. A difference is an AssertionError.
 */
import assert from 'node:assert/strict';
import type { AddGroup, AttemptError, Backend, ClaimedJob, Ending, NewJob } from '../backend.ts';
import type { JobFilter, Page } from '../filter.ts';
import type { JobRecord } from '../records.ts';
import type { ScheduleRecord } from '../schedule.ts';
import type { SettingsChange } from '../settings.ts';
import { Model } from './model.ts';
import type { Command, FilterDraft, JobDraft, Pick } from './model-commands.ts';
import { isWaiting, type ModelJob } from './model-queue.ts';
import { type Opened, server as serverInfo } from './support.ts';

export interface ModelOpened extends Opened {
  /** What the clock shows that the backend looks at, ms since the epoch. */
  now(): number;
  /** Sets the clock on or back, as somebody may do with a machine's. Absent: it only goes on. */
  jump?(ms: number): void;
}

export interface ModelHarness {
  open(): Promise<ModelOpened>;
}

interface Held {
  readonly id: string;
  readonly claim: number;
}

export class Twins {
  /** The one that is asked now. */
  #backend: Backend;
  #other: Backend | undefined;
  readonly #opened: ModelOpened;
  readonly #model = new Model();
  readonly #handed: Held[] = [];
  readonly #seen: Set<string>;
  /** Goes up when the clock is put back: what was to be forgotten by time then gets new names. */
  #era = 0;

  constructor(opened: ModelOpened, seen: Set<string>) {
    this.#opened = opened;
    this.#backend = opened.backend;
    this.#model.now = Math.ceil(opened.now());
    this.#seen = seen;
  }

  async close(): Promise<void> {
    await this.#other?.close();
    await this.#opened.backend.close();
    await this.#opened.cleanup?.();
  }

  async perform(command: Command): Promise<void> {
    const [backend, model] = [this.#backend, this.#model];
    const needs = { update: 'update', schedule: 'schedules', unschedule: 'schedules', fire: 'schedules' } as const;
    if (command.do in needs && backend.lacks?.[needs[command.do as keyof typeof needs]]) return;
    this.#seen.add(command.do);
    if (command.do !== 'claim') await this.#follow();
    switch (command.do) {
      case 'add': {
        const groups = command.groups.map(
          ({ jobs, once, ...rest }): AddGroup => ({
            ...rest,
            jobs: jobs.map((job) => this.#job(job)),
            ...(once && { once: { ...once, key: once.key + this.#era } }),
          }),
        );
        const got = await backend.add(groups);
        const want = groups.map((group, i) => {
          const result = got[i];
          return model.add(group, result?.status === 'stored' ? result.ids : []);
        });
        this.#same(command, got, want);
        for (const { status } of got) this.#seen.add(status);
        if (got.some((each) => 'existing' in each)) this.#seen.add('existing');
        return;
      }
      case 'claim': {
        const { do: _, ...request } = command;
        const got = await backend.claim(request).catch((error: { code: string }) => error.code);
        if (typeof got === 'string' || !model.servers.has(request.server)) {
          this.#seen.add('unknown server');
          return this.#same(command, got, 'MILLRACE_SERVER_UNKNOWN');
        }
        const { jobs, nextAt } = model.claim(request);
        this.#same(command, got.jobs.map(claimed), jobs.map(claimed));
        for (const [i, job] of jobs.entries()) {
          const { id, claim } = got.jobs[i] as ClaimedJob;
          assert.ok(claim > job.claim, 'the claim number of a job goes up');
          job.claim = claim;
          this.#handed.push({ id, claim });
        }
        await this.#follow();
        if (got.nextAt !== undefined) {
          this.#seen.add('nextAt');
          assert.ok(got.nextAt > model.now, 'nextAt is to come when there is no more now');
          assert.ok(jobs.length < request.limit, 'nextAt is absent when all came that was asked for');
        }
        const isLate = nextAt !== undefined && !((got.nextAt ?? Infinity) <= nextAt);
        assert.ok(!isLate, `nextAt should be ${nextAt} at the latest, is ${got.nextAt}, at ${model.now}`);
        return;
      }
      case 'settle': {
        const { server, picks } = command;
        const outcomes = picks.flatMap(({ ending, ...pick }) =>
          this.#picked(server, pick).map((held) => ({ ...held, ending: this.#ending(ending.kind, ending.in) })),
        );
        const got = await backend.settle(server, outcomes);
        for (const each of got) this.#seen.add(each);
        return this.#same(
          command,
          got,
          outcomes.map((outcome) => model.settle(server, outcome)),
        );
      }
      case 'report': {
        const { server, picks } = command;
        const reports = picks.flatMap(({ progress, lines, ...pick }) =>
          this.#picked(server, pick).map((held) => ({
            ...held,
            ...(progress !== undefined && { progress }),
            log: lines.map((text) => ({ at: model.now, text })),
          })),
        );
        const got = await backend.report(server, reports);
        return this.#same(
          command,
          got,
          reports.map((report) => model.report(server, report)),
        );
      }
      case 'beat':
        model.servers.set(command.server, model.now);
        return backend.beat(serverInfo(command.server));
      case 'leave':
        model.dismiss(command.server, false);
        return backend.leave(command.server);
      case 'rescue': {
        const lost = [...model.servers].filter(([, beatAt]) => model.now - beatAt >= command.lease);
        const held = lost.map(([server]) => model.dismiss(server, true));
        return this.#same(
          command,
          await backend.rescue(command.lease),
          held.reduce((sum, each) => sum + each, 0),
        );
      }
      case 'act': {
        const { kind } = command.action;
        const moment = kind === 'retry' && command.in !== undefined && { at: model.now + command.in };
        const action = { ...command.action, ...moment };
        const filter = this.#filter(command.filter);
        let got = 0;
        await this.#pages(command.limit, async (page) => {
          const { count, next } = await backend.act(action, filter, page);
          got += count;
          return next;
        });
        if (got > 0) this.#seen.add(kind);
        return this.#same(command, got, model.act(action, filter));
      }
      case 'update': {
        const changes = command.changes.map(({ pick, text, in: ms, ...rest }) => ({
          ...rest,
          id: model.jobs[pick % (model.jobs.length + 1)]?.id ?? 'nobody',
          ...(text !== undefined && { payload: Buffer.from(text) }),
          ...(ms !== undefined && { runAt: model.now + ms }),
        }));
        const got = await backend.update(changes);
        for (const each of got) this.#seen.add(each);
        return this.#same(
          command,
          got,
          changes.map((change) => model.update(change)),
        );
      }
      case 'configure': {
        const { queue } = command;
        const change = this.#change(command.change);
        return this.#same(command, await backend.configure(queue, change), model.configure(queue, change));
      }
      case 'advance':
        await this.#opened.advance(command.ms);
        model.now = Math.ceil(this.#opened.now());
        return;
      case 'jump':
        if (!this.#opened.jump) return;
        // A head that a rate let into the line may stay there or not when the clock is put back.
        if (command.ms < 0 && [...model.queues.values()].some(({ settings }) => settings.keys.rate)) return;
        if (command.ms < 0) this.#era++;
        this.#opened.jump(command.ms);
        model.now = Math.ceil(this.#opened.now());
        return;
      case 'switch':
        this.#other ??= await this.#opened.second?.();
        if (this.#other) this.#backend = backend === this.#other ? this.#opened.backend : this.#other;
        return;
      case 'schedule': {
        const { key, rule, job, in: ms } = command;
        const nextAt = ms === undefined ? undefined : model.now + ms;
        const schedule = { key, rule, job: this.#job(job), nextAt };
        model.putSchedule(schedule);
        return backend.putSchedule(schedule);
      }
      case 'unschedule':
        return this.#same(command, await backend.removeSchedule(command.key), model.schedules.delete(command.key));
      case 'fire': {
        const { now, due, nextAt } = await backend.dueSchedules(command.limit);
        const all = [...model.schedules.values()].flatMap((each) => (each.nextAt === undefined ? [] : [each.nextAt]));
        const later = all.filter((at) => at > model.now);
        const want = { now: model.now, nextAt: later.length > 0 ? Math.min(...later) : undefined };
        const wanted = model.due(command.limit).map(scheduled);
        this.#same(command, { now, nextAt, due: due.map(scheduled) }, { ...want, due: wanted });
        const firings = due.map(({ key, nextAt: tick = 0 }) => ({
          key,
          tick,
          jobs: command.jobs.map((job) => this.#job(job)),
          nextAt: command.every === undefined ? undefined : tick + command.every,
        }));
        for (let times = command.twice ? 2 : 1; times > 0; times--) {
          const fired = await backend.fire(firings);
          for (const { status } of fired) this.#seen.add(`schedule ${status}`);
          const fresh = (i: number) => (fired[i]?.status === 'fired' ? fired[i].ids : []);
          const wanted = firings.map((firing, i) => model.fire(firing, fresh(i)));
          this.#same(command, fired, wanted);
        }
        return;
      }
      case 'tidy': {
        model.tidy();
        let calls = 0;
        while ((await backend.tidy()) > 0) assert.ok(++calls < 100, 'tidy comes to an end');
        if (calls > 0) this.#seen.add('tidied');
        return;
      }
      case 'look':
        return this.#look();
    }
  }

  /** All that can be seen. */
  async #look(): Promise<void> {
    const [backend, model] = [this.#backend, this.#model];
    const jobs: JobRecord[] = [];
    await this.#pages(undefined, async (page) => {
      const { jobs: some, next } = await backend.list({}, page);
      jobs.push(...some);
      return next;
    });
    this.#same('list', jobs.map(recorded), model.jobs.map(recorded));
    for (const { state } of jobs) this.#seen.add(state);
    const last = jobs.at(-1);
    if (last) this.#same('get', recorded((await backend.get(last.id)) as JobRecord), recorded(last));
    const counts = await backend.counts();
    for (const [name, queue] of model.queues) {
      const {
        queue: _,
        settings,
        completed,
        ...states
      } = counts.find((each) => each.queue === name) ?? assert.fail(name);
      this.#same('settings', settings, queue.settings);
      this.#same('completed', completed, queue.completed);
      const count = (state: string) => queue.jobs().filter((job) => job.state === state).length;
      this.#same('counts', states, Object.fromEntries(Object.keys(states).map((state) => [state, count(state)])));
    }
    const running = (id: string) => model.jobs.filter(({ server }) => server === id).length;
    const servers = (await backend.servers()).map(({ id, beatAt, running }) => [id, beatAt, running]);
    const known = [...model.servers].map(([id, beatAt]) => [id, beatAt, running(id)]);
    this.#same('servers', servers.sort(), known.sort());
    for (const id of model.servers.keys()) {
      const stopped = model.jobs.filter(({ server, order }) => server === id && order !== undefined);
      const orders = stopped.map((job) => ({ kind: 'cancel', id: job.id, claim: job.claim, reason: job.order }));
      this.#same('orders', byId(await backend.orders(id)), byId(orders));
      if (orders.length > 0) this.#seen.add('order');
    }
    if (backend.lacks?.schedules) return;
    const schedules = [...model.schedules.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    this.#same('schedules', (await backend.schedules()).map(scheduled), schedules.map(scheduled));
  }

  /** A backend may make a job available when its time has come, or when a claim looks for it: the model does the same. */
  async #follow(): Promise<void> {
    const { jobs, now } = this.#model;
    const due = jobs.filter((job) => isWaiting(job) && job.state !== 'available' && job.runAt <= now);
    if (due.length > 0) {
      const found = await this.#backend.list({ ids: due.map(({ id }) => id) }, { limit: due.length });
      const available = new Set(found.jobs.filter(({ state }) => state === 'available').map(({ id }) => id));
      for (const job of due) if (available.has(job.id)) job.state = 'available';
    }
    this.#model.lineUp();
  }

  async #pages(
    limit: number | undefined,
    each: (page: Page | undefined) => Promise<string | undefined>,
  ): Promise<void> {
    let after = await each(limit === undefined ? undefined : { limit });
    for (let pages = 0; after !== undefined; pages++) {
      assert.ok(pages < 1000, 'pages come to an end');
      after = await each({ after, ...(limit !== undefined && { limit }) });
    }
  }

  #picked(server: string, { pick, ever }: Pick): Held[] {
    const held = this.#model.jobs.filter((job) => job.server === server);
    const jobs = ever ? this.#handed : held;
    const { id, claim } = jobs[pick % jobs.length] ?? {};
    return id === undefined || claim === undefined ? [] : [{ id, claim }];
  }

  #job({ text, in: ms, unique, key, keepFor, ...rest }: JobDraft): NewJob {
    const { lacks } = this.#backend;
    return {
      ...rest,
      payload: Buffer.from(text),
      ...(ms !== undefined && { runAt: this.#model.now + ms }),
      ...(key !== undefined && !lacks?.keys && { key }),
      ...(keepFor !== undefined && !lacks?.results && { keepFor }),
      ...(unique && !lacks?.unique && { unique: unique.period ? { ...unique, key: unique.key + this.#era } : unique }),
    };
  }

  #change({ keys, events, concurrency, rate, ...rest }: SettingsChange): SettingsChange {
    const { lacks } = this.#backend;
    return {
      ...rest,
      ...(keys !== undefined && !lacks?.keys && { keys }),
      ...(events !== undefined && !lacks?.events && { events }),
      ...(concurrency !== undefined && !lacks?.limits && { concurrency }),
      ...(rate !== undefined && !lacks?.limits && { rate }),
    };
  }

  #ending(kind: Ending['kind'], ms: number | undefined): Ending {
    const { now } = this.#model;
    if (kind === 'completed') return { kind, result: Buffer.from(`result of ${now}`) };
    if (kind === 'snoozed') return { kind, runAt: now + (ms ?? 0) };
    if (kind === 'returned') return { kind };
    const error = { attempt: 1, at: now, message: 'It broke' };
    return kind === 'failed' && ms !== undefined ? { kind, error, retryAt: now + ms } : { kind, error };
  }

  #filter({ picks, ...rest }: FilterDraft): JobFilter {
    const { jobs } = this.#model;
    return { ...rest, ...(picks && { ids: picks.map((pick) => jobs[pick % (jobs.length + 1)]?.id ?? 'nobody') }) };
  }

  /** `undefined` and absent are the same here. */
  #same(command: Command | string, got: unknown, want: unknown): void {
    const what = typeof command === 'string' ? command : command.do;
    const [left, right] = [JSON.stringify({ [what]: got }), JSON.stringify({ [what]: want })];
    if (left !== right) assert.deepEqual(JSON.parse(left), JSON.parse(right));
  }
}

const text = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString();

function claimed(job: ClaimedJob | ModelJob) {
  const { id, queue, name, payload, priority, attempt, maxAttempts, crashes, addedAt, runAt } = job;
  const { key, tags, headers, keepFor } = job;
  const numbers = { priority, attempt, maxAttempts, crashes, addedAt, runAt, keepFor };
  return { id, queue, name, payload: text(payload), ...numbers, key, tags: tags?.length ? tags : undefined, headers };
}

function recorded(job: JobRecord | ModelJob) {
  const { state, startedAt, endedAt, server, result, progress, log, errors } = job;
  const rest = { state, startedAt, endedAt, server, result: text(result), progress, log };
  return { ...claimed({ ...job, claim: 0 } as ClaimedJob), ...rest, errors: errors.map(told) };
}

/** What a server died of, and why it matters, is told in the backend's own words. */
function told({ attempt, at, message, code = '' }: AttemptError) {
  return [attempt, at, /DIED|QUARANTINED/.test(code) ? code : message];
}

function scheduled({ key, rule, job, nextAt, fired, lastAt }: ScheduleRecord) {
  const { payload, ...rest } = job;
  const sorted = Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1));
  return { key, rule, job: Object.fromEntries(sorted), payload: text(payload), nextAt, fired, lastAt };
}

const byId = <T extends { readonly id: string }>(list: readonly T[]) =>
  [...list].sort((a, b) => (a.id < b.id ? -1 : 1)).map(({ id, ...rest }) => ({ id, ...rest }));
