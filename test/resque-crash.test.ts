/**
 * Check 16: `kill -9` of a server on the Resque wire at each step of a job: after the claim, in the body, before the outcome
 * is sent and before its answer is heard. A thousand jobs, a dozen kills: every job runs at least once, and nothing is left
 * anywhere. goworker and Ruby lose the job of a killed worker, or leave it where only somebody who looks finds it.
 *
 *   MILLRACE_KILLS=1000 npm test -- test/resque-crash.test.ts      so many kills per step instead of three
 *
 * There are as many jobs then as keep all victims busy. A round kills one victim per step, side by side on the same queue.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type RedisServer, startRedis, until } from '../src/testing/redis.ts';
import { claim, job, member, openResque, type Resque } from './support/resque.ts';

const program = fileURLToPath(new URL('support/resque-worker.ts', import.meta.url));
const steps = ['claimed', 'started', 'done', 'settling'] as const;
/** More jobs than the victims of a round work off. */
const PER_ROUND = 200;
/** At each step. */
const kills = Number(process.env.MILLRACE_KILLS ?? 3);
assert.ok(Number.isInteger(kills) && kills > 0, 'MILLRACE_KILLS should be an integer from 1');

let server: RedisServer;
let folder = '';
before(async () => {
  server = await startRedis();
  folder = await mkdtemp(join(tmpdir(), 'millrace-resque-'));
});
after(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

function start({ namespace, defer }: Resque, journal: string, step: string, at = 0): ChildProcess {
  const url = `resque:${server.url}?namespace=${namespace}`;
  const child = fork(program, [url, journal, step, String(at)]);
  defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  return child;
}

/** How often each of `count` jobs ran. */
async function runsOf(journal: string, count: number): Promise<number[]> {
  const runs = new Array<number>(count).fill(0);
  const text = await readFile(journal, 'utf8').catch(() => '');
  for (const line of text.split('\n')) if (line !== '') runs[Number(line)] = (runs[Number(line)] ?? 0) + 1;
  return runs;
}

describe('check 16: kill -9', () => {
  it('at each step loses none of a thousand jobs', { timeout: Math.max(300_000, 10_000 * kills) }, async (t) => {
    const seed = Number(process.env.MILLRACE_SEED ?? Math.floor(Math.random() * 2 ** 31));
    t.diagnostic(`MILLRACE_SEED=${seed}`);
    let dice = seed;
    const random = (most: number) => {
      dice = (Math.imul(dice, 1_103_515_245) + 12_345) & 0x7fffffff;
      return 1 + ((dice >>> 8) % most);
    };
    const ours = await openResque(t, server, { isReal: true });
    const { backend, keys, redis } = ours;
    const journal = join(folder, 'kills');
    const processed = async () => Number(await redis('GET', 'stat:processed'));
    const count = Math.max(1_000, PER_ROUND * kills);
    // What a killed server holds may be in the hands of the next one that is killed.
    await backend.configure('low', { maxCrashes: 1_000 + kills });
    for (let from = 0; from < count; from += 1_000) {
      const jobs = Array.from({ length: Math.min(1_000, count - from) }, (_, n) =>
        job(`[${from + n}]`, { queue: 'low', name: 'Count' }),
      );
      await backend.add([{ jobs }]);
    }
    let held = 0;
    for (let round = 0; round < kills; round++) {
      const victims = steps.map((step) => {
        const after = random(step === 'started' ? 60 : 4);
        return start(ours, journal, step, round === 0 ? 1 : after);
      });
      const exits = await Promise.all(victims.map((child) => once(child, 'exit')));
      for (const [i, [, signal]] of exits.entries()) assert.equal(signal, 'SIGKILL', steps[i]);
      // When this is answered Redis has done all that the dead had sent.
      const settled = await processed();
      // At their first chance the other three have settled nothing yet.
      if (round === 0) assert.ok(settled > 0, 'killed at the step `settling`, and nothing was settled');
      const dead = new Map((await backend.servers()).map(({ pid, running }) => [pid, running]));
      const hands = victims.map(({ pid }) => dead.get(pid as number) ?? Number.NaN);
      for (const [i, step] of steps.entries()) {
        // What has settled may have held no more than that.
        assert.ok((hands[i] as number) >= (step === 'settling' ? 0 : 1), `held ${hands[i]} jobs when it was ${step}`);
      }
      const heldNow = hands.reduce((sum, running) => sum + running, 0);
      held += heldNow;
      // Those of the last round are found by the server that comes after them, when their beats have expired.
      if (round < kills - 1) assert.equal(await backend.rescue(0), heldNow);
    }
    const survivor = start(ours, journal, 'until');
    for (let left = count; left > 0; ) {
      const before = left;
      await until(`fewer than ${before} jobs are left`, async () => {
        const [low] = await backend.counts();
        left = (low?.available ?? 0) + (low?.running ?? 0) + (low?.retryable ?? 0);
        return left < before;
      });
    }
    const exit = once(survivor, 'exit');
    survivor.kill('SIGTERM');
    assert.deepEqual(await exit, [0, null]);
    const runs = await runsOf(journal, count);
    assert.deepEqual(
      runs.flatMap((times, n) => (times === 0 ? [n] : [])),
      [],
      'jobs that never ran',
    );
    assert.equal(runs.length, count);
    const again = runs.reduce((sum, times) => sum + times - 1, 0);
    t.diagnostic(
      `${kills} kills at each step, ${count} jobs: ${held} times one was rescued, ${again} times one ran again`,
    );
    assert.ok(again <= held, 'none ran again without a reason');
    const left = (await keys()).filter((key) => !key.startsWith('timestamps'));
    assert.deepEqual(left, ['queues', 'stat:processed'], 'what is left of the dead servers');
    assert.equal(await processed(), count, 'each was settled once');
  });

  it('runs no job twice with at-most-once: what was in hand is in failed, as with Resque', async (t) => {
    const { backend, redis, clock, second } = await openResque(t, server, { delivery: 'at-most-once' });
    await backend.add([{ jobs: ['[1]', '[2]', '[3]'].map((args) => job(args)) }]);
    const held = await claim(backend, member(), 2);
    assert.equal(held.length, 2);
    clock.advance(1_000);
    const other = await second();
    assert.equal(await other.rescue(1_000), 2);
    const failed = ((await redis('LRANGE', 'failed', '0', '-1')) as string[]).map((entry) => JSON.parse(entry));
    const worker = 'web1-123-ab12:123-0:high,low';
    const [first] = failed.filter((entry) => entry.worker === worker);
    assert.equal(failed.length, 2);
    assert.deepEqual(
      [first.exception, first.error],
      ['Resque::PruneDeadWorkerDirtyExit', `Worker ${worker} did not gracefully exit while processing MyClass`],
    );
    assert.deepEqual(await redis('LRANGE', 'queue:myqueue', '0', '-1'), ['{"class":"MyClass","args":[3]}']);
    assert.deepEqual([await redis('GET', 'stat:failed'), await redis('GET', 'stat:processed')], ['2', '2']);
  });

  it('puts a job that was cut off by a stop into failed with at-most-once, and hands back what had not begun', async (t) => {
    const { backend, redis } = await openResque(t, server, { delivery: 'at-most-once' });
    await backend.add([{ jobs: ['[1]', '[2]'].map((args) => job(args)) }]);
    const [begun] = await claim(backend);
    assert.ok(begun);
    await backend.settle('web1-123-ab12', [{ id: begun.id, claim: begun.claim, ending: { kind: 'returned' } }]);
    await backend.leave('web1-123-ab12');
    const [entry] = (await redis('LRANGE', 'failed', '0', '-1')) as string[];
    assert.equal(JSON.parse(entry ?? '{}').exception, 'Resque::DirtyExit');
    assert.deepEqual(await redis('LRANGE', 'queue:myqueue', '0', '-1'), ['{"class":"MyClass","args":[2]}']);
  });

  it('again and again with the same job in hand ends with it in failed, quarantined', async (t) => {
    const { backend, redis, clock } = await openResque(t, server);
    await backend.configure('myqueue', { maxCrashes: 2 });
    await backend.add([{ jobs: [job('["poison"]')] }]);
    for (let crash = 1; crash <= 2; crash++) {
      const [one] = await claim(backend, member(`server-${crash}`));
      assert.equal(one?.crashes, crash - 1);
      clock.advance(1_000);
      assert.equal(await backend.rescue(1_000), 1);
      clock.advance(60_000);
    }
    const [entry] = (await redis('LRANGE', 'failed', '0', '-1')) as string[];
    assert.equal(JSON.parse(entry ?? '{}').exception, 'Millrace::Quarantined');
    assert.deepEqual(await claim(backend), []);
  });
});

it('check 9: after SIGTERM a job that does not end is at the head of its queue, once', async (t) => {
  const ours = await openResque(t, server, { isReal: true });
  const { backend, redis, keys } = ours;
  const stuck = job('[]', { queue: 'low', name: 'Stuck' });
  await backend.add([{ jobs: [stuck, job('[1]', { queue: 'low', name: 'Later', runAt: Date.now() + 3_600_000 })] }]);
  const child = start(ours, join(folder, 'term'), 'stuck');
  for (let message = ''; message !== 'stuck'; ) [message] = (await once(child, 'message')) as [string];
  await backend.add([{ jobs: [job('[2]', { queue: 'other' }), stuck] }]);
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await exit, [0, null]);
  const payload = '{"class":"Stuck","args":[]}';
  assert.deepEqual(await redis('LRANGE', 'queue:low', '0', '-1'), [payload, payload]);
  assert.ok(!(await keys()).some((key) => /worker/.test(key)));
});

it('two servers that claim at the same time never get the same job', async (t) => {
  const { backend, second } = await openResque(t, server);
  const other = await second();
  const count = 500;
  await backend.add([{ jobs: Array.from({ length: count }, (_, n) => job(`[${n}]`)) }]);
  await backend.beat(member('a'));
  await other.beat(member('b'));
  const claims = Array.from({ length: 40 }, (_, i) => {
    const [view, id] = i % 2 === 0 ? [backend, 'a'] : [other, 'b'];
    return view.claim({ server: id as string, queues: ['myqueue'], limit: 20 });
  });
  const ids = (await Promise.all(claims)).flatMap(({ jobs }) => jobs.map(({ id }) => id));
  assert.equal(ids.length, count);
  assert.equal(new Set(ids).size, count);
});
