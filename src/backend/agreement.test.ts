/**
 * What the reference model has no part of, the memory and the SQLite backend answer alike: what is found by what is in a
 * payload, page by page, and what is told of a job's way. Two implementations that share no storage code hardly make the
 * same mistake.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../clock.ts';
import { type JobState, jobStates } from '../job/state.ts';
import type { Backend, ClaimedJob, Ending } from './backend.ts';
import { failure, job, server } from './conformance/support.ts';
import type { Action, Condition, JobFilter } from './filter.ts';
import { MemoryBackend } from './memory/memory.ts';
import { endedStates, probation } from './settings.ts';
import { SqliteBackend } from './sqlite/backend.ts';

const runs = { numRuns: Number(process.env.RUNS ?? 15) };

/** Both, on one clock, for one property. */
async function both(use: (sides: readonly [Backend, Backend], clock: VirtualClock) => Promise<void>): Promise<void> {
  const clock = new VirtualClock();
  const folder = await mkdtemp(join(tmpdir(), 'millrace-'));
  const sqlite = new SqliteBackend(join(folder, 'jobs.db'), { clock, synchronous: 'normal' });
  const sides = [new MemoryBackend({ clock }), sqlite] as const;
  try {
    for (const backend of sides) await backend.open();
    await use(sides, clock);
  } finally {
    for (const backend of sides) await backend.close();
    await rm(folder, { recursive: true });
  }
}

/** Few names and values, so that paths lead somewhere and comparisons are close. */
const name = fc.constantFrom('a', 'b', '0', 'x.y', 'ü"', '__proto__', 'length');
const words = fc.constantFrom(
  '',
  '0',
  '1',
  'a',
  'A',
  'É',
  'é',
  'ab',
  '✉',
  '\uff5e',
  '\u{1f600}',
  '%',
  '_',
  '1.0',
  'null',
);
const plain = fc.oneof(
  words,
  fc.integer({ min: -2, max: 2 }),
  fc.constantFrom(0.5, -0, 1e21, 1e-7, 2 ** 53, 1e308),
  fc.boolean(),
  fc.constant(null),
);
const { value: json } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    plain,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(name, tie('value'), { maxKeys: 3 }),
  ),
}));
const payload = fc.oneof(
  { weight: 9, arbitrary: json.map((value) => JSON.stringify(value)) },
  { weight: 1, arbitrary: fc.constantFrom('', '{', '{"a":1', 'NaN', "{'a':1}", ' 1 ', '[1,]', '{"a":1,"a":2}', '01') },
);
const condition: fc.Arbitrary<Condition> = fc.record({
  path: fc.array(fc.oneof(name, fc.nat(2)), { maxLength: 2 }),
  is: fc.constantFrom('=', '!=', '<', '<=', '>', '>=', 'contains'),
  value: plain,
});
const filter: fc.Arbitrary<JobFilter> = fc.record(
  {
    name: fc.constantFrom('x', 'y'),
    states: fc.subarray([...jobStates]),
    tag: fc.constantFrom('t', 'u'),
    error: fc.constantFrom('BRO', '%', ''),
    where: fc.array(condition, { maxLength: 2 }),
  },
  { requiredKeys: ['where'] },
);

/** Positions of the jobs that are found, page by page. */
async function found(backend: Backend, wanted: JobFilter, limit: number, ids: readonly string[]): Promise<number[][]> {
  const pages: number[][] = [];
  for (let after: string | undefined; ; ) {
    const { jobs, next } = await backend.list(wanted, { limit, ...(after !== undefined && { after }) });
    if (jobs.length > 0) pages.push(jobs.map(({ id }) => ids.indexOf(id)));
    if (next === undefined) return pages;
    after = next;
  }
}

it('memory and SQLite find the same jobs, on the same pages', async () => {
  const given = fc.record({
    jobs: fc.array(
      fc.record({ text: payload, name: fc.constantFrom('x', 'y'), tags: fc.subarray(['t', 'u']), fails: fc.boolean() }),
      { minLength: 1, maxLength: 20 },
    ),
    filters: fc.array(fc.tuple(filter, fc.integer({ min: 1, max: 5 })), { minLength: 10, maxLength: 30 }),
  });
  await fc.assert(
    fc.asyncProperty(given, async ({ jobs, filters }) => {
      await both(async (sides) => {
        const stored: (readonly string[])[] = [];
        for (const backend of sides) {
          const [result] = await backend.add([{ jobs: jobs.map(({ text, fails: _, ...rest }) => job(text, rest)) }]);
          assert.ok(result?.status === 'stored');
          stored.push(result.ids);
          await backend.beat(server());
          const { jobs: claimed } = await backend.claim({ server: 'a', queues: ['q'], limit: jobs.length });
          const failing = claimed.filter((_, i) => jobs[i]?.fails);
          const ending: Ending = { kind: 'failed', error: failure() };
          await backend.settle(
            'a',
            failing.map(({ id, claim }) => ({ id, claim, ending })),
          );
        }
        for (const [wanted, limit] of filters) {
          const [memory, sqlite] = await Promise.all(
            sides.map((backend, i) => found(backend, wanted, limit, stored[i] ?? [])),
          );
          assert.deepEqual(sqlite, memory, JSON.stringify(wanted));
        }
      });
    }),
    runs,
  );
});

const delay = fc.integer({ min: -5, max: 30 });
const ending = fc.oneof(
  fc.constantFrom<Ending>(
    { kind: 'completed' },
    { kind: 'returned' },
    { kind: 'failed', error: failure() },
    { kind: 'discarded', error: failure() },
    { kind: 'cancelled', error: failure() },
  ),
  delay.map((retryAt): Ending => ({ kind: 'failed', error: failure(), retryAt })),
  delay.map((runAt): Ending => ({ kind: 'snoozed', runAt })),
);
/** When a job whose time has come is called available is the backend's to say: these are always named together. */
const waiting: readonly JobState[] = ['scheduled', 'available', 'retryable'];
const states = fc
  .subarray<readonly JobState[]>([waiting, ['running'], ...endedStates.map((state): JobState[] => [state])], {
    minLength: 1,
  })
  .map((groups) => groups.flat());
const action = fc.oneof(
  fc.record({ action: fc.constant<Action>({ kind: 'retry' }), states: fc.subarray<JobState>([...endedStates]) }),
  fc.record({
    action: fc.constantFrom<Action>(
      { kind: 'cancel', reason: 'enough' },
      { kind: 'discard', reason: 'no' },
      { kind: 'remove' },
    ),
    states,
  }),
);
const who = fc.constantFrom('a', 'b');
const step = fc.oneof(
  fc.record({
    do: fc.constant('add' as const),
    count: fc.integer({ min: 1, max: 4 }),
    key: fc.constantFrom('k', undefined),
  }),
  fc.record({ do: fc.constant('claim' as const), who, limit: fc.nat(5) }),
  fc.record({ do: fc.constant('settle' as const), who, picks: fc.array(fc.tuple(fc.nat(30), ending)) }),
  fc.record({ do: fc.constant('report' as const), who, pick: fc.nat(30) }),
  action.map((each) => ({ do: 'act' as const, ...each })),
  fc.record({
    do: fc.constant('advance' as const),
    ms: fc.oneof({ weight: 9, arbitrary: fc.nat(20) }, fc.constant(probation)),
  }),
  fc.record({ do: fc.constant('leave' as const), who }),
  fc.record({ do: fc.constant('rescue' as const), lease: fc.nat(20) }),
  fc.record({ do: fc.constant('keep' as const), events: fc.nat(20) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** What one backend has given out, by position. */
interface Given {
  readonly ids: string[];
  readonly claimed: ClaimedJob[];
}

async function perform(backend: Backend, { ids, claimed }: Given, each: Step, now: number): Promise<void> {
  switch (each.do) {
    case 'add': {
      const key = each.key === undefined ? {} : { key: each.key };
      const [result] = await backend.add([{ jobs: Array.from({ length: each.count }, () => job('', key)) }]);
      if (result?.status === 'stored') ids.push(...result.ids);
      return;
    }
    case 'claim': {
      await backend.beat(server(each.who));
      claimed.push(...(await backend.claim({ server: each.who, queues: ['q'], limit: each.limit })).jobs);
      return;
    }
    case 'settle': {
      const outcomes = each.picks.flatMap(([pick, end]) => {
        const one = claimed[pick % Math.max(1, claimed.length)];
        const moved = 'retryAt' in end && end.retryAt !== undefined ? { ...end, retryAt: now + end.retryAt } : end;
        return one
          ? [{ ...one, ending: moved.kind === 'snoozed' ? { ...moved, runAt: now + moved.runAt } : moved }]
          : [];
      });
      await backend.settle(
        each.who,
        outcomes.map(({ id, claim, ending }) => ({ id, claim, ending })),
      );
      return;
    }
    case 'report': {
      const one = claimed[each.pick % Math.max(1, claimed.length)];
      if (one) await backend.report(each.who, [{ id: one.id, claim: one.claim, progress: `${each.pick}` }]);
      return;
    }
    case 'act':
      await backend.act(each.action, { states: each.states });
      return;
    case 'leave':
      return backend.leave(each.who);
    case 'rescue':
      await backend.rescue(each.lease);
      return;
    case 'keep':
      await backend.configure('q', { events: each.events });
      return;
    default:
  }
}

it('memory and SQLite tell the same of what happened', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60, size: 'max' }),
      fc.integer({ min: 1, max: 9 }),
      async (steps, limit) => {
        await both(async (sides, clock) => {
          const given = sides.map((): Given => ({ ids: [], claimed: [] }));
          for (const backend of sides) await backend.configure('q', { events: 20, maxCrashes: 2 });
          let read = 0;
          for (const each of steps) {
            if (each.do === 'advance') await clock.advance(each.ms);
            else {
              for (const [i, backend] of sides.entries()) await perform(backend, given[i] as Given, each, clock.now());
            }
            const [memory, sqlite] = await Promise.all(
              sides.map(async (backend, i) => {
                const { events, ...rest } = await backend.events(read, limit);
                return {
                  ...rest,
                  events: events.map((event) => ({ ...event, job: given[i]?.ids.indexOf(event.job) })),
                };
              }),
            );
            assert.deepEqual(sqlite, memory, each.do);
            read = memory?.last ?? read;
          }
          const [memory, sqlite] = await Promise.all(
            sides.map(async (backend) =>
              (await backend.list({})).jobs.map(({ state, runAt, attempt, errors }) => {
                const isDue = waiting.includes(state) && runAt <= clock.now();
                return { state: isDue ? 'available' : state, runAt, attempt, errors };
              }),
            ),
          );
          assert.deepEqual(sqlite, memory);
        });
      },
    ),
    runs,
  );
});
