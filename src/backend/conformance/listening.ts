/** Conformance: telling those who listen. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Topic } from '../backend.ts';
import { add, capable, claim, failure, heard, job, type Open, settle } from './support.ts';

const later = { kind: 'failed', error: failure(), retryAt: 4e12 } as const;

export function listening(open: Open): void {
  describe('listen', () => {
    it('tells of a job that was added, also by another process', async (t) => {
      const { backend, other } = await open(t, 2);
      const both = [heard(backend, { queues: ['q'] }), heard(other, { queues: ['x', 'q'] })];
      await add(backend, [job()]);
      await Promise.all(both);
    });

    it('tells of jobs that were retried, resumed, handed back, or will be due', async (t) => {
      const { backend } = await open(t);
      await add(backend, [job(), job(), job()]);
      const [one, two, three] = await claim(backend);
      assert.ok(one && two && three);
      const causes = [
        () => settle(backend, [one], { kind: 'returned' }),
        () => settle(backend, [two], later),
        () => settle(backend, [three], { kind: 'snoozed', runAt: 4e12 }),
        () => backend.act({ kind: 'retry' }, { ids: [two.id] }),
        () => backend.configure('q', { paused: false }),
        () => add(backend, [job('', { runAt: 4e12 })]),
        () => claim(backend, 1).then(() => backend.leave('a')),
      ];
      for (const cause of causes) {
        const wake = heard(backend, { queues: ['q'] });
        await cause();
        await wake;
      }
    });

    it('tells of jobs that were rescued', async (t) => {
      const { backend, advance } = await open(t);
      await add(backend, [job()]);
      await claim(backend);
      await advance(1000);
      const wake = heard(backend, { queues: ['q'] });
      await backend.rescue(1000);
      await wake;
    });

    it('tells the server of an order, whoever gives it', async (t) => {
      const { backend, other } = await open(t, 2);
      const [id] = await add(backend, [job()]);
      await claim(backend);
      const order = heard(backend, { orders: 'a' });
      await other.act({ kind: 'cancel', reason: 'enough' }, { ids: [id as string] });
      await order;
    });

    it('does not call for other queues or servers, nor after it was stopped', async (t) => {
      const { backend } = await open(t);
      const called: string[] = [];
      backend.listen({ queues: ['elsewhere'] }, () => called.push('elsewhere'));
      backend.listen({ orders: 'b' }, () => called.push('order'));
      const stop = backend.listen({ queues: ['q'] }, () => called.push('stopped'));
      stop();
      stop();
      const calledFor = async () => {
        called.length = 0;
        const wake = heard(backend, { queues: ['q'] });
        await add(backend, [job()]);
        await wake;
        return called;
      };
      // A hint may come for nothing while listening begins, however late that is; then there is silence.
      let silent = 0;
      for (let round = 0; silent < 5 && round < 500; round++)
        silent = (await calledFor()).length === 0 ? silent + 1 : 0;
      assert.equal(silent, 5);
    });

    it('tells of an update that makes a job available', async (t) => {
      const bench = await capable(open, t, 'update');
      if (!bench) return;
      const [id] = await add(bench.backend, [job('', { runAt: 4e12 })]);
      const wake = heard(bench.backend, { queues: ['q'] });
      await bench.backend.update([{ id: id as string, runAt: 0 }]);
      await wake;
    });

    it('tells that a place became free in a queue or a key that was full', async (t) => {
      const bench = (await capable(open, t, 'keys')) && (await capable(open, t, 'limits'));
      if (!bench) return;
      const { backend } = bench;
      await backend.configure('r', { concurrency: 1 });
      await add(backend, [job('', { key: 'k' }), job('', { key: 'k' })]);
      await add(backend, [job('', { queue: 'r' }), job('', { queue: 'r' })]);
      const held = await claim(backend, 5, { queues: ['q', 'r'] });
      assert.equal(held.length, 2);
      for (const one of held) {
        const wake = heard(backend, { queues: [one.queue] });
        await settle(backend, [one], { kind: 'completed' });
        await wake;
      }
    });

    it('tells that a key which stood still goes on, whatever was done to the job that held it up', async (t) => {
      const bench = await capable(open, t, 'keys');
      if (!bench) return;
      const { backend } = bench;
      await backend.configure('q', { keys: { onFailure: 'park' } });
      const actions = [{ kind: 'remove' }, { kind: 'retry' }] as const;
      for (const action of actions) {
        const [id] = await add(backend, [job('', { key: action.kind }), job('', { key: action.kind })]);
        await settle(backend, await claim(backend, 1), { kind: 'discarded', error: failure() });
        const wake = heard(backend, { queues: ['q'] });
        await backend.act(action, { ids: [id as string] });
        await wake;
        await claim(backend);
      }
    });

    it('tells of news when a job that is kept has ended, whatever its end', async (t) => {
      const bench = await capable(open, t, 'results', 2);
      if (!bench) return;
      const { backend, other } = bench;
      await add(backend, [job('', { keepFor: 1000 }), job(), job(), job()]);
      const [one, two, three] = await claim(backend, 3);
      assert.ok(one && two && three);
      const causes = [
        () => settle(backend, [one], { kind: 'completed' }),
        () => settle(backend, [two], { kind: 'discarded', error: failure() }),
        () => settle(backend, [three], { kind: 'cancelled', error: failure() }),
        () => backend.act({ kind: 'cancel', reason: 'enough' }, { states: ['available'] }),
      ];
      for (const cause of causes) {
        const both = [heard(backend, { news: true }), heard(other, { news: true })];
        await cause();
        await Promise.all(both);
      }
    });

    it('tells of news when an event was recorded', async (t) => {
      const bench = await capable(open, t, 'events', 2);
      if (!bench) return;
      await bench.backend.configure('q', { events: 10 });
      const news = heard(bench.other, { news: true });
      await add(bench.backend, [job()]);
      await news;
    });

    it('tells of schedules that were put or removed', async (t) => {
      const bench = await capable(open, t, 'schedules', 2);
      if (!bench) return;
      const { backend, other } = bench;
      const topic: Topic = { schedules: true };
      const put = [heard(backend, topic), heard(other, topic)];
      await backend.putSchedule({ key: 's', rule: 'daily', job: job(), nextAt: 4e12 });
      await Promise.all(put);
      const removed = [heard(backend, topic), heard(other, topic)];
      await backend.removeSchedule('s');
      await Promise.all(removed);
    });
  });
}
