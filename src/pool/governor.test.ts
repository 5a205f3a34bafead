import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../clock.ts';
import { MillraceError } from '../errors.ts';
import { Governor } from './governor.ts';
import type { Limit, Sample } from './limits/limit.ts';
import type { PoolOptions, Verdict } from './options.ts';
import { Pace } from './pace.ts';
import { resolveOptions } from './settings.ts';
import type { Outcome, Task } from './task.ts';

function make(classify?: (outcome: Outcome<unknown>) => Verdict) {
  const clock = new VirtualClock();
  const samples: Sample[] = [];
  const limit: Limit = { limit: 1, sample: (sample) => void samples.push(sample), restart() {} };
  const pace = new Pace(clock, undefined, () => undefined);
  const options: PoolOptions = classify ? { workers: limit, clock, classify } : { workers: limit, clock };
  const governor = new Governor(resolveOptions(options), pace);
  /** A task that began now and ended so, `ms` later. */
  const learn = async (outcome: Outcome<unknown>, ms = 0, start: number | null = clock.monotonic()) => {
    const times = { submitted: 0, started: start ?? undefined, settled: 0, inFlight: 3 };
    await clock.advance(ms);
    return governor.learn({ outcome, times, settings: { bytes: 7 } } as Task);
  };
  return { clock, samples, pace, learn };
}

const ok: Outcome<unknown> = { status: 'fulfilled', value: 1 };
const bad: Outcome<unknown> = { status: 'rejected', error: new Error('bad') };

describe('Governor', () => {
  it('takes a value for ok, a timeout for overload, and other endings for none of its business', async () => {
    const { learn, samples } = make();
    const late = new MillraceError('TASK_TIMEOUT', { timeout: 5, phase: 'running' });
    const endings: Outcome<unknown>[] = [
      ok,
      bad,
      { status: 'rejected', error: late },
      { status: 'cancelled', error: late },
    ];
    const made: string[] = [];
    for (const ending of endings) made.push(await learn(ending));
    assert.deepEqual(made, ['ok', 'ignored', 'overload', 'ignored']);
    assert.deepEqual(
      samples.map(({ outcome }) => outcome),
      made,
    );
  });

  it('tells the limit when a body began, how long it took, how many ran then, and how large it was', async () => {
    const { learn, samples, clock } = make();
    await clock.advance(100);
    await learn(ok, 25);
    assert.deepEqual(samples, [{ outcome: 'ok', startedAt: 100, rtt: 25, inFlight: 3, bytes: 7 }]);
  });

  it('stops starts for as long as a verdict says, and takes that for overload', async () => {
    const { learn, samples, pace, clock } = make(({ status }) => (status === 'rejected' ? { retryAfter: 80 } : 'ok'));
    assert.equal(await learn(bad), 'overload');
    assert.equal(samples[0]?.outcome, 'overload');
    assert.equal(pace.admits(1), false);
    await clock.advance(80);
    assert.equal(pace.admits(1), true);
  });

  it('classifies what never started, but takes no sample of it', async () => {
    const { learn, samples } = make(() => 'overload');
    assert.equal(await learn({ status: 'cancelled', error: undefined }, 5, null), 'overload');
    assert.deepEqual(samples, []);
  });

  it('leaves out how long a body took while the event loop is late', async () => {
    const { learn, samples } = make();
    const active = () => performance.eventLoopUtilization().active;
    const until = active() + 260;
    while (active() < until); // really busy: no clock can be turned to make the loop late
    await learn(ok, 250);
    await learn(ok, 10_000);
    assert.deepEqual(
      samples.map(({ rtt }) => rtt),
      [undefined, 10_000],
    );
  });
});
