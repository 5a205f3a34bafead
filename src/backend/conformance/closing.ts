/** Conformance: the end. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { add, job, type Open, server } from './support.ts';

const closed = { code: 'MILLRACE_BACKEND_CLOSED' };

export function closing(open: Open): void {
  describe('close', () => {
    it('waits for calls under way, and may be called again', async (t) => {
      const { backend } = await open(t);
      const calls = Promise.all([add(backend, [job()]), backend.beat(server())]);
      await Promise.all([backend.close(), backend.close()]);
      await calls;
      await backend.close();
    });

    it('makes every later call reject', async (t) => {
      const { backend } = await open(t);
      await backend.close();
      const calls = [
        () => backend.open(),
        () => backend.add([{ jobs: [job()] }]),
        () => backend.claim({ server: 'a', queues: ['q'], limit: 1 }),
        () => backend.settle('a', []),
        () => backend.beat(server()),
        () => backend.leave('a'),
        () => backend.rescue(1),
        () => backend.counts(),
        () => backend.servers(),
        () => backend.get('x'),
        () => backend.list({}),
        () => backend.report('a', []),
        () => backend.orders('a'),
        () => backend.tidy(),
        () => backend.act({ kind: 'retry' }, {}),
        () => backend.update([]),
        () => backend.configure('q', {}),
        () => backend.schedules(),
        () => backend.dueSchedules(1),
        () => backend.fire([]),
        () => backend.removeSchedule('s'),
        () => backend.events(),
      ];
      for (const call of calls) await assert.rejects(call, closed, String(call));
    });

    it('ends the listening', async (t) => {
      const { backend } = await open(t);
      let isOver = false;
      const stop = backend.listen({ queues: ['q'] }, () => assert.ok(!isOver, 'woken after the end'));
      await add(backend, [job()]).then(() => {
        isOver = true;
        return backend.close();
      });
      await new Promise((resolve) => setImmediate(resolve));
      stop();
      assert.throws(() => backend.listen({ queues: ['q'] }, () => {}), closed);
    });
  });
}
