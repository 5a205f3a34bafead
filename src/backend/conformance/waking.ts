/** Conformance: telling fetchers that there is work. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Backend } from '../backend.ts';
import { add, claim, failure, job, type Open, settle } from './support.ts';

/** Resolves at the next wake-up of queue `q`. */
function woken(backend: Backend, queues = ['q']): Promise<void> {
  return new Promise((resolve) => {
    const stop = backend.wake(queues, () => {
      stop();
      resolve();
    });
  });
}

export function waking(open: Open): void {
  describe('wake', () => {
    it('tells of a job that was added, also by another process', async (t) => {
      const { backend, other } = await open(t, 2);
      const both = [woken(backend), woken(other, ['x', 'q'])];
      await add(backend, [job()]);
      await Promise.all(both);
    });

    it('tells of jobs that were retried, resumed, handed back, or will be due', async (t) => {
      const { backend } = await open(t);
      await add(backend, [job(), job(), job()]);
      const [one, two, three] = await claim(backend);
      assert.ok(one && two && three);
      const later = { kind: 'failed', error: failure(), retryAt: 4e12 } as const;
      const causes = [
        () => settle(backend, [one], { kind: 'returned' }),
        () => settle(backend, [two], later),
        () => settle(backend, [three], { kind: 'snoozed', runAt: 4e12 }),
        () => backend.retry({ ids: [two.id] }),
        () => backend.resume('q'),
        () => add(backend, [job('', { runAt: 4e12 })]),
        () => claim(backend, 1).then(() => backend.leave('a')),
      ];
      for (const cause of causes) {
        const wake = woken(backend);
        await cause();
        await wake;
      }
    });

    it('tells of jobs that were rescued', async (t) => {
      const { backend, advance } = await open(t);
      await add(backend, [job()]);
      await claim(backend);
      await advance(1000);
      const wake = woken(backend);
      await backend.rescue(1000);
      await wake;
    });

    it('does not call for other queues, nor after it was stopped', async (t) => {
      const { backend } = await open(t);
      const called: string[] = [];
      backend.wake(['elsewhere'], () => called.push('elsewhere'));
      const stop = backend.wake(['q'], () => called.push('stopped'));
      stop();
      stop();
      const wake = woken(backend);
      await add(backend, [job()]);
      await wake;
      assert.deepEqual(called, []);
    });
  });
}
