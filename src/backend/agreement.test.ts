/**
 * Whatever is done, in whatever order, the SQLite backend answers as the memory backend does: two implementations that
 * share no storage code hardly make the same mistake. Jobs are told apart by their payload, ids by their order.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../clock.ts';
import type { Backend, ClaimedJob, Ending, JobFilter, JobState } from './backend.ts';
import { failure, job, server, text } from './conformance/support.ts';
import { MemoryBackend } from './memory/memory.ts';
import { SqliteBackend } from './sqlite/backend.ts';

const queue = fc.constantFrom('q', 'r');
const who = fc.constantFrom('a', 'b');
const delay = fc.integer({ min: -5, max: 30 });

const ending = fc.oneof(
  fc.constant({ kind: 'completed' }),
  fc.constant({ kind: 'returned' }),
  fc.constant({ kind: 'failed', error: failure() }),
  fc.constant({ kind: 'cancelled', error: failure() }),
  delay.map((at) => ({ kind: 'failed', error: failure(), retryAt: at })),
  delay.map((at) => ({ kind: 'snoozed', runAt: at })),
) as fc.Arbitrary<Ending>;

const filter: fc.Arbitrary<JobFilter> = fc.record(
  {
    queue,
    name: fc.constantFrom('x', 'y'),
    states: fc.subarray<JobState>(['scheduled', 'available', 'running', 'retryable', 'discarded', 'cancelled']),
  },
  { requiredKeys: [] },
);

const newJob = fc.record(
  { queue, name: fc.constantFrom('x', 'y'), priority: fc.integer({ min: 0, max: 2 }), runAt: delay },
  { requiredKeys: ['queue', 'name', 'priority'] },
);

const group = fc.record(
  {
    jobs: fc.array(newJob, { maxLength: 4 }),
    maxWaiting: fc.integer({ min: 0, max: 12 }),
    once: fc.record({ key: fc.constantFrom('k', 'l'), fingerprint: fc.constantFrom('f', 'g'), ttl: fc.constant(20) }),
  },
  { requiredKeys: ['jobs'] },
);

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('add' as const), groups: fc.array(group, { maxLength: 3 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('claim' as const),
      who,
      queues: fc.shuffledSubarray(['q', 'r']),
      limit: fc.nat(5),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('settle' as const), who, picks: fc.array(fc.tuple(fc.nat(30), ending)) }),
  },
  fc.record({ do: fc.constant('advance' as const), ms: fc.nat(20) }),
  fc.record({ do: fc.constantFrom('beat' as const, 'leave' as const), who }),
  fc.record({ do: fc.constant('rescue' as const), lease: fc.nat(20) }),
  fc.record({ do: fc.constantFrom('retry' as const, 'cancel' as const, 'remove' as const), filter }),
  fc.record({ do: fc.constantFrom('pause' as const, 'resume' as const), queue }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** One backend under test, with what it has handed out: the same list in both, by position. */
interface Side {
  readonly backend: Backend;
  readonly start: number;
  readonly claimed: ClaimedJob[];
  added: number;
}

const shown = ({ payload, addedAt, runAt, claim: _, id: __, ...rest }: ClaimedJob, start: number) => ({
  ...rest,
  payload: text({ payload }),
  addedAt: addedAt - start,
  runAt: runAt - start,
});

async function perform(side: Side, step: Exclude<Step, { do: 'advance' }>, now: number): Promise<unknown> {
  const { backend, claimed } = side;
  switch (step.do) {
    case 'add': {
      const groups = step.groups.map(({ jobs, ...rest }) => ({
        ...rest,
        jobs: jobs.map(({ runAt, ...given }) =>
          job(`job ${side.added++}`, { ...given, ...(runAt !== undefined && { runAt: now + runAt }) }),
        ),
      }));
      return (await backend.add(groups)).map((result) =>
        'ids' in result ? [result.status, result.ids.length] : result,
      );
    }
    case 'claim': {
      const { who: id, queues, limit } = step;
      const result = await backend.claim({ server: id, queues, limit }).catch((error: { code: string }) => error.code);
      if (typeof result === 'string') return result;
      claimed.push(...result.jobs);
      return [result.nextAt, result.jobs.map((each) => shown(each, side.start))];
    }
    case 'settle': {
      const outcomes = step.picks.flatMap(([pick, end]) => {
        const one = claimed[pick % Math.max(1, claimed.length)];
        const ending = 'retryAt' in end && end.retryAt !== undefined ? { ...end, retryAt: now + end.retryAt } : end;
        const moved = ending.kind === 'snoozed' ? { ...ending, runAt: now + ending.runAt } : ending;
        return one ? [{ id: one.id, claim: one.claim, ending: moved }] : [];
      });
      return backend.settle(step.who, outcomes);
    }
    case 'beat':
      return backend.beat(server(step.who));
    case 'leave':
      return backend.leave(step.who);
    case 'rescue':
      return backend.rescue(step.lease);
    case 'cancel':
      return backend.cancel(step.filter, 'not needed');
    case 'retry':
    case 'remove':
      return backend[step.do](step.filter);
    default:
      return backend[step.do](step.queue);
  }
}

/** All that can be seen. */
async function look({ backend }: Side) {
  const jobs = (await backend.list({}, 1000)).map(({ id: _, payload, ...rest }) => ({
    ...rest,
    text: text({ payload }),
  }));
  const queues = (await backend.counts()).toSorted((a, b) => (a.queue < b.queue ? -1 : 1));
  // A queue that was named but never held anything may be known or not.
  const used = queues.filter((each) => Object.values(each).some((value) => typeof value === 'number' && value > 0));
  return { jobs, used, servers: await backend.servers() };
}

it('memory and SQLite answer alike, whatever is asked of them', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async (steps) => {
      const clock = new VirtualClock();
      const folder = await mkdtemp(join(tmpdir(), 'millrace-'));
      const sqlite = new SqliteBackend(join(folder, 'jobs.db'), { clock, synchronous: 'normal' });
      const sides = [new MemoryBackend({ clock }), sqlite].map(
        (backend): Side => ({ backend, start: clock.now(), claimed: [], added: 0 }),
      ) as [Side, Side];
      try {
        for (const { backend } of sides) await backend.open();
        for (const each of steps) {
          if (each.do === 'advance') await clock.advance(each.ms);
          else {
            const answers = await Promise.all(sides.map((side) => perform(side, each, clock.now())));
            assert.deepEqual(answers[1], answers[0], each.do);
          }
        }
        assert.deepEqual(await look(sides[1]), await look(sides[0]));
      } finally {
        for (const { backend } of sides) await backend.close();
        await rm(folder, { recursive: true });
      }
    }),
    { numRuns: Number(process.env.RUNS ?? 15) },
  );
});
