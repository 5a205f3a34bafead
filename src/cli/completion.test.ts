import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ClaimedJob } from '../backend/backend.ts';
import type { ServerEvent } from '../server/events.ts';
import { Completion } from './completion.ts';

const job = { id: 'a' } as ClaimedJob;
const error = new Error('no');
const claimed = (count: number): ServerEvent => ({ type: 'claimed', count });
const completed: ServerEvent = { type: 'completed', job, value: undefined, took: 1 };

/** Whether it was done after each of the events. */
async function watch(events: readonly ServerEvent[]): Promise<boolean[]> {
  const completion = new Completion();
  let isDone = false;
  void completion.done.then(() => {
    isDone = true;
  });
  const seen: boolean[] = [];
  for (const event of events) {
    completion.see(event);
    await Promise.resolve();
    seen.push(isDone);
  }
  return seen;
}

describe('Completion', () => {
  it('waits for a second empty claim: the first began while jobs may still have enqueued others', async () => {
    assert.deepEqual(await watch([claimed(0), claimed(0)]), [false, true]);
    assert.deepEqual(await watch([claimed(0), claimed(1), completed, claimed(0), claimed(0)]), [
      ...[false, false, false, false, true],
    ]);
  });

  it('does not count claims that are empty while a job is held', async () => {
    const held = [claimed(2), claimed(0), completed, claimed(0), claimed(0)];
    assert.deepEqual(await watch(held), [false, false, false, false, false]);
    assert.deepEqual(await watch([...held, completed, claimed(0), claimed(0)]).then((seen) => seen.slice(5)), [
      ...[false, false, true],
    ]);
  });

  it('takes every end of a job for an end', async () => {
    const ends: readonly ServerEvent[] = [
      completed,
      { type: 'failed', job, error, retryAt: 1 },
      { type: 'snoozed', job, runAt: 1 },
      { type: 'cancelled', job, error },
      { type: 'returned', job },
    ];
    const told: readonly ServerEvent[] = [
      { type: 'result-lost', job, error },
      { type: 'abandoned', job, held: false },
      { type: 'started', job },
    ];
    const events = [claimed(ends.length), ...ends, claimed(0), claimed(0)];
    assert.equal((await watch(events)).lastIndexOf(false), events.length - 2);
    // What is only told on the way is none.
    assert.ok(!(await watch([claimed(1), ...told, claimed(0), claimed(0)])).includes(true));
  });
});
