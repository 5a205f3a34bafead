/**
 * What jobs promise, by real processes on one backend that are told, stopped, and killed while they work.
 *
 * What several processes did is read from two places: the journal that bodies write, and the events of the backend. Both
 * are in one order for all processes.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { batched, deaf, type Line, limited, long, only, other, paused, single, step, tick } from './fleet.ts';
import { Fleet, type Place } from './fleet-home.ts';

const run = promisify(execFile);
const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** An order reaches a body in less than this, ms. */
const SOON = 1_000;

/** @param place where the jobs of one test lie: a URL, of which nobody else makes the same */
export function fleetSuite(name: string, place: Place): void {
  // Two at a time: most of what each does is to wait.
  describe(`a fleet on ${name}`, { concurrency: 2 }, () => {
    describe('an order to cancel, from another process', () => {
      it('reaches the signal of a running body within a second', async (t) => {
        const fleet = await Fleet.found(t, place);
        const server = await fleet.server({ queues: ['cancel'] });
        const handle = await fleet.client.enqueue(single, null);
        await server.hear('begun', handle.id);

        assert.equal(await handle.cancel('not worth it'), true);
        const acted = performance.now();
        const { at, reason } = await server.hear('aborted', handle.id);
        assert.ok(at - acted < SOON, `took ${at - acted} ms`);
        assert.match(reason ?? '', /not worth it/);
        await assert.rejects(handle.result(), {
          code: 'MILLRACE_JOB_FAILED',
          message: /was cancelled: .*not worth it/,
        });
        t.diagnostic(`${Math.round(at - acted)} ms`);
      });

      it('reaches one job of a batch, and no other', async (t) => {
        const fleet = await Fleet.found(t, place);
        const server = await fleet.server({ queues: ['cancel'] });
        const handles = await fleet.client.enqueueMany(batched, ['free', 'stuck', 'free']);
        await server.hear('begun');

        assert.equal(await handles[1]?.cancel('only this one'), true);
        const acted = performance.now();
        const { at } = await server.hear('aborted', handles[1]?.id);
        assert.ok(at - acted < SOON, `took ${at - acted} ms`);
        await assert.rejects(handles[1]?.result() ?? Promise.resolve(), { message: /was cancelled: .*only this one/ });
        assert.deepEqual(await Promise.all([handles[0]?.result(), handles[2]?.result()]), ['done', 'done']);
        t.diagnostic(`${Math.round(at - acted)} ms`);
      });

      it('ends a thread that hears nothing, when its grace is over', async (t) => {
        const fleet = await Fleet.found(t, place);
        await fleet.inspector.configure(deaf.queue, { events: 100 });
        await fleet.server({ queues: ['cancel'] });
        const handle = await fleet.client.enqueue(deaf, null);
        await fleet.event(({ kind }) => kind === 'progress');

        const ended = assert.rejects(handle.result(), { message: /was cancelled: .*enough/ });
        assert.equal(await handle.cancel('enough'), true);
        const acted = performance.now();
        await ended;
        const took = performance.now() - acted;
        assert.ok(took < deaf.grace + SOON, `took ${took} ms`);
        const view = await handle.get();
        assert.deepEqual([view?.state, view?.errors.length], ['cancelled', 1]);
        t.diagnostic(`${Math.round(took)} ms, of which ${deaf.grace} are its grace`);
      });
    });

    it('makes one job of each tick, whoever of the servers dies or sleeps', async (t) => {
      const every = 200;
      const fleet = await Fleet.found(t, place);
      const servers = await fleet.servers(3, { queues: ['ticks'] });
      const [first, second] = servers as [(typeof servers)[0], (typeof servers)[0]];
      const after = (count: number) => fleet.read((lines) => distinct(lines.map(({ n }) => n)).length >= count);
      await fleet.client.schedule('pulse', tick, null, { every, catchUp: 'all' });
      await after(3);
      await fleet.kill(first);
      second.process.kill('SIGSTOP');
      await after(3 + 2_000 / every + 1); // so many ticks take two seconds
      second.process.kill('SIGCONT');
      await fleet.read((lines) => lines.some(({ what, pid, n = 0 }) => what === 'tick' && pid === second.pid && n > 0));
      await after(3 + 2_000 / every + 5);
      await fleet.client.unschedule('pulse');

      // Each tick that made a job: those that a killed server had begun come again, as the same job.
      const { ticks, jobs } = await fleet.read((lines) => {
        const ran = lines.filter(({ what }) => what === 'tick');
        const ticks = distinct(ran.map(({ n = 0 }) => n)).sort((a, b) => a - b);
        const isWhole = ticks.every((at, i) => i === 0 || at - (ticks[i - 1] ?? 0) === every);
        return isWhole && { ticks, jobs: distinct(ran.map(({ n, job }) => `${n} ${job}`)) };
      });
      assert.ok(ticks.length >= 18);
      assert.equal(jobs.length, ticks.length, 'no tick made two jobs');
    });

    it('never holds two unique jobs at once, whoever adds and whoever is killed', async (t) => {
      const fleet = await Fleet.found(t, place);
      await fleet.inspector.configure(only.queue, { events: 100_000, maxCrashes: 1_000 });
      const living = new Set(await fleet.servers(4, { queues: ['only'], lease: 3_000 }));
      const producers = await fleet.producers(3);
      for (let i = 0; i < 3; i++) {
        // Whoever runs it now; the next one only after another has gone on with it.
        const victim = await fleet.read((lines) => {
          const { what, pid } = lines.at(-1) ?? {};
          return lines.length > 6 * i && what === 'begin' && [...living].find((server) => server.pid === pid);
        });
        living.delete(victim);
        await fleet.kill(victim);
      }
      for (const producer of producers) await producer.end('SIGTERM');

      const last = await fleet.client.enqueue(only, 1);
      await fleet.event(({ kind, job }) => kind === 'completed' && job === last.id);

      const events = await fleet.events();
      assert.ok(
        events.some(({ kind }) => kind === 'rescued'),
        'a server was killed while it ran one',
      );
      let alive = 0;
      let most = 0;
      for (const { kind } of events) {
        if (kind === 'added') alive++;
        if (kind === 'completed') alive--;
        most = Math.max(most, alive);
      }
      assert.deepEqual([alive, most], [0, 1]);
      assertOneAtATime(fleet.lines);
      assert.equal((await fleet.client.enqueue(only, 1)).isNew, true);
    });

    it('keeps the order of each key, through failures and a death', async (t) => {
      const fleet = await Fleet.found(t, place);
      await fleet.inspector.configure(step.queue, { events: 100_000 });
      const servers = await fleet.servers(3, { queues: ['steps'], lease: 3_000 });
      const keys = ['ada', 'bob', 'eve', 'zoe'];
      const numbers = Array.from({ length: 20 }, (_, n) => n);
      // In the order of their numbers, the keys mixed, as they would arrive.
      await fleet.client.enqueueMany(
        step,
        numbers.flatMap((n) => keys.map((key) => ({ key, n }))),
      );
      const [victim] = servers as [(typeof servers)[0]];
      await fleet.read((lines) => {
        const mine = lines.filter(({ pid }) => pid === victim.pid);
        return lines.length > 40 && mine.at(-1)?.what === 'begin';
      });
      await fleet.kill(victim);

      let done = 0;
      const all = keys.length * numbers.length;
      await fleet.event(({ kind }) => kind === 'completed' && ++done === all);
      const keyOf = new Map(fleet.lines.map(({ job, key, n }) => [job, { key, n }]));
      const completed = (await fleet.events())
        .filter(({ kind }) => kind === 'completed')
        .map(({ job }) => keyOf.get(job));
      for (const key of keys) {
        assert.deepEqual(
          completed.filter((line) => line?.key === key).map((line) => line?.n),
          numbers,
        );
        assertOneAtATime(fleet.lines.filter((line) => line.key === key || line.what === 'kill'));
      }
    });

    it('bounds a queue over all servers: bodies at once, and starts in any time', async (t) => {
      const fleet = await Fleet.found(t, place);
      const rate = { limit: 20, per: 1_000, burst: 10 };
      await fleet.inspector.configure(limited.queue, { concurrency: 3, rate, events: 1_000 });
      await fleet.servers(3, { queues: ['limited'] });
      await fleet.client.enqueueMany(
        limited,
        Array.from({ length: 40 }, (_, n) => n),
      );
      let done = 0;
      await fleet.event(({ kind }) => kind === 'completed' && ++done === 40);

      assert.ok(mostAtOnce(fleet.lines) <= 3, `${mostAtOnce(fleet.lines)} at once`);
      const starts = (await fleet.events()).filter(({ kind }) => kind === 'started').map(({ at }) => at);
      assert.equal(starts.length, 40);
      for (const [i, from] of starts.entries()) {
        for (const [j, to] of starts.entries()) {
          if (j < i) continue;
          // Moments are whole milliseconds, so a window may be one longer than it looks.
          const allowed = rate.burst + ((to - from + 1) * rate.limit) / rate.per;
          assert.ok(j - i + 1 <= allowed, `${j - i + 1} starts in ${to - from} ms`);
        }
      }
    });

    it('waits for a result while one server dies and another takes over, and sees how far each is', async (t) => {
      const fleet = await Fleet.found(t, place);
      await fleet.inspector.configure(long.queue, { events: 100 });
      const first = await fleet.server({ queues: ['long'], lease: 3_000 });
      const handle = await fleet.client.enqueue(long, null);
      const result = handle.result();
      await fleet.event(({ kind }) => kind === 'progress');
      const running = await handle.get();
      assert.deepEqual(
        [running?.state, running?.progress, running?.log.map(({ text }) => text)],
        ['running', { page: 1 }, [`begun by ${first.pid}`]],
      );

      const second = await fleet.server({ queues: ['long'], lease: 3_000 });
      await fleet.kill(first);
      assert.deepEqual(await result, { by: second.pid });
      const done = await handle.get();
      assert.deepEqual(
        [done?.progress, done?.log.map(({ text }) => text), done?.crashes, done?.errors.map(({ code }) => code)],
        [{ page: 2 }, [`begun by ${first.pid}`, `begun by ${second.pid}`], 1, ['MILLRACE_SERVER_DIED']],
      );
    });

    it('gives the jobs of a server that sleeps too long to another, and has it back when it wakes', async (t) => {
      const fleet = await Fleet.found(t, place);
      await fleet.inspector.configure(long.queue, { events: 100 });
      const sleeper = await fleet.server({ queues: ['long', 'other'], lease: 2_000 });
      const handle = await fleet.client.enqueue(long, null);
      await fleet.event(({ kind }) => kind === 'progress');
      sleeper.process.kill('SIGSTOP');
      const second = await fleet.server({ queues: ['long'], lease: 2_000 });
      assert.deepEqual(await handle.result(), { by: second.pid });

      sleeper.process.kill('SIGCONT');
      assert.equal(await (await fleet.client.enqueue(other, null)).result(), sleeper.pid);
      // It stops with an outcome for a job that is not its own any more.
      await sleeper.end('SIGTERM');
      const done = await handle.get();
      assert.deepEqual([done?.state, done?.result, done?.crashes], ['completed', { by: second.pid }, 1]);
      assert.equal(
        (await fleet.events()).filter(({ kind, job }) => kind === 'completed' && job === handle.id).length,
        1,
      );
    });

    it('does what the command line says, while it runs', async (t) => {
      const fleet = await Fleet.found(t, place);
      const says = (...args: string[]) => run(process.execPath, [main, ...args, '--backend', fleet.url]);
      await fleet.servers(2, { queues: ['paused', 'other'] });
      const enqueue = (count: number) =>
        fleet.client.enqueueMany(
          paused,
          Array.from({ length: count }, (_, n) => n),
        );
      const ended = (count: number) =>
        fleet.read((lines) => lines.filter(({ what }) => what === 'end').length === count);
      await enqueue(1);
      await ended(1);

      await says('pause', 'paused');
      await enqueue(20);
      // The servers look at both queues together: what they do for one they would have done for the other.
      for (let i = 0; i < 10; i++) await (await fleet.client.enqueue(other, null)).result();
      assert.equal(fleet.lines.length, 2);

      await says('limit', 'paused', 'concurrency=2');
      await says('resume', 'paused');
      const resumed = performance.now();
      await fleet.read((lines) => lines.length > 2);
      assert.ok(performance.now() - resumed < SOON);
      await ended(21);
      assert.equal(mostAtOnce(fleet.lines), 2);

      await says('limit', 'paused', 'concurrency=none');
      await enqueue(40);
      await ended(61);
      assert.ok(mostAtOnce(fleet.lines) > 2);
    });
  });
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)].filter((value) => value !== undefined);
}

/** Bodies that ran at the same time; those of a process end with it. */
function mostAtOnce(lines: readonly Line[]): number {
  let open: Line[] = [];
  let most = 0;
  for (const line of lines) {
    if (line.what === 'begin') open.push(line);
    else if (line.what === 'kill') open = open.filter(({ pid }) => pid !== line.pid);
    else open = open.filter(({ pid, job }) => pid !== line.pid || job !== line.job);
    most = Math.max(most, open.length);
  }
  return most;
}

function assertOneAtATime(lines: readonly Line[]): void {
  assert.ok(lines.some(({ what }) => what === 'begin'));
  assert.equal(mostAtOnce(lines), 1);
}
