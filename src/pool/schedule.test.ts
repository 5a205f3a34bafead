import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../clock.ts';
import { tokenBucket } from './limits/rate.ts';
import { Pace } from './pace.ts';
import { Schedule, type ScheduleOptions } from './schedule.ts';
import { resolveOptions } from './settings.ts';
import { Task, type TaskOwner, type TaskSettings } from './task.ts';

const owner = {} as TaskOwner;
const { defaults } = resolveOptions({ workers: 1 });

/** A schedule, and a way to put tasks into it that are known by their numbers. */
function make(options: Partial<ScheduleOptions> = {}, limitOf: (key: string) => number = () => 1) {
  const schedule = new Schedule({ ageing: 1_000, order: 'fifo', pace: undefined, ...options });
  let submitted = 0;
  const add = (settings: Partial<TaskSettings> = {}) => {
    const keyLimit = settings.key === undefined ? 1 : limitOf(settings.key);
    const task = new Task({ ...defaults, owner, handler: undefined, keyLimit, ...settings }, undefined, undefined);
    task.order = submitted++;
    schedule.push(task);
    return task;
  };
  /** Starts what may start; without an end of any. */
  const start = (free = Number.POSITIVE_INFINITY) => {
    const started: number[] = [];
    for (let task = schedule.shift(free); task; task = schedule.shift(free)) started.push(task.order);
    return started;
  };
  return { schedule, add, start };
}

describe('Schedule: priorities', () => {
  it('gives tasks of one priority in order of submission', () => {
    const { add, start } = make();
    for (let n = 0; n < 5; n++) add();
    assert.deepEqual(start(), [0, 1, 2, 3, 4]);
  });

  it('gives a higher priority first, until a lower one is old enough', () => {
    const { add, start } = make({ ageing: 2 });
    add({ priority: 5 });
    for (let n = 0; n < 5; n++) add({ priority: 4 });
    assert.deepEqual(start(), [1, 2, 0, 3, 4, 5]);
  });

  it('gives strict priorities when ageing is Infinity', () => {
    const { add, start } = make({ ageing: Number.POSITIVE_INFINITY });
    add({ priority: 9 });
    add({ priority: 8 });
    for (let n = 0; n < 100; n++) add({ priority: 1 });
    add({ priority: 0 });
    assert.deepEqual(start(), [102, ...Array.from({ length: 100 }, (_, n) => n + 2), 1, 0]);
  });

  it('gives the newest of a priority first with lifo', () => {
    const { add, start } = make({ order: 'lifo' });
    for (const priority of [4, 4, 9, 4, 9, 0]) add({ priority });
    assert.deepEqual(start(), [5, 3, 1, 0, 4, 2]);
  });

  it('lets a task be overtaken by at most `ageing` later ones per level, whatever comes and goes', () => {
    const calls = fc.array(fc.oneof(fc.nat(9), fc.constant('shift' as const)), { maxLength: 200, size: 'max' });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), calls, (ageing, steps) => {
        const { schedule, add } = make({ ageing });
        const waiting = new Set<Task>();
        const overtaken = new Map<Task, number>();
        const shift = () => {
          const task = schedule.shift(1);
          if (!task) return false;
          waiting.delete(task);
          for (const other of waiting) {
            if (other.order >= task.order) continue;
            overtaken.set(other, (overtaken.get(other) ?? 0) + 1);
            assert.ok(other.settings.priority > task.settings.priority, 'first in, first out in a priority');
            const levels = other.settings.priority - task.settings.priority;
            assert.ok(task.order - other.order <= ageing * levels);
            assert.ok((overtaken.get(other) ?? 0) <= ageing * other.settings.priority);
          }
          return true;
        };
        for (const step of steps) {
          if (step === 'shift') shift();
          else waiting.add(add({ priority: step }));
        }
        while (shift());
        assert.equal(waiting.size + schedule.size, 0, 'nobody starves');
      }),
    );
  });
});

describe('Schedule: keys', () => {
  it('starts as many of a key as `perKey` says, and lets others pass', () => {
    const { schedule, add, start } = make({}, (key) => (key === 'two' ? 2 : 1));
    const first = add({ key: 'one' });
    add({ key: 'one' });
    for (let n = 0; n < 3; n++) add({ key: 'two' });
    add();
    assert.deepEqual(start(), [0, 2, 3, 5]);
    assert.equal(schedule.size, 2);
    schedule.release(first);
    assert.deepEqual(start(), [1]);
  });

  it('gives one that was parked before all later ones of its priority, whose key is free as well', () => {
    const { schedule, add, start } = make();
    const a = add({ key: 'a' });
    const b = add({ key: 'b' });
    add({ key: 'b' });
    add({ key: 'a' });
    assert.deepEqual(start(), [0, 1]);
    add();
    schedule.release(b);
    schedule.release(a);
    assert.deepEqual(start(), [2, 3, 4]);
  });

  it('keeps the order in a key and priority when a task of a higher priority takes the key in between', () => {
    const { schedule, add, start } = make();
    const first = add({ key: 'k' });
    add({ key: 'k' });
    add({ key: 'k' });
    assert.deepEqual(start(), [0]);
    const urgent = add({ key: 'k', priority: 0 });
    schedule.release(first);
    assert.deepEqual(start(), [3]);
    schedule.release(urgent);
    assert.deepEqual(start(), [1]);
  });

  it('calls back the parked task with the highest priority first', () => {
    const { schedule, add, start } = make();
    const first = add({ key: 'k' });
    assert.deepEqual(start(), [0]);
    add({ key: 'k', priority: 9 });
    start();
    add({ key: 'k', priority: 0 });
    start();
    add({ priority: 8 });
    schedule.release(first);
    assert.equal(schedule.shift(1)?.order, 2);
  });

  it('does not forget the parked ones when the one that was called back is cancelled', () => {
    const { schedule, add, start } = make();
    const first = add({ key: 'k' });
    const second = add({ key: 'k' });
    add({ key: 'k' });
    assert.deepEqual(start(), [0]);
    schedule.release(first);
    schedule.delete(second);
    assert.deepEqual(start(), [2]);
  });

  it('takes out parked tasks too, and hands all back in order of submission', () => {
    const { schedule, add, start } = make();
    const first = add({ key: 'k' });
    assert.deepEqual(start(), [0]);
    const second = add({ key: 'k' });
    add({ key: 'k', priority: 0 });
    start();
    assert.equal(second.phase, 'parked');
    add({ priority: 2 });
    schedule.delete(second);
    assert.equal(schedule.size, 2);
    assert.deepEqual(
      schedule.takeAll().map(({ order }) => order),
      [2, 3],
    );
    schedule.release(first);
    assert.deepEqual([schedule.size, schedule.keys], [0, 0]);
  });

  it('names as least the oldest task of the lowest priority, parked or not', () => {
    const { schedule, add, start } = make();
    add({ key: 'k' });
    add({ key: 'k', priority: 9 });
    add({ key: 'k', priority: 9 });
    start();
    assert.equal(schedule.least?.order, 1);
    const free = add({ priority: 0 });
    assert.equal(schedule.least?.order, 1, 'one with a busy key is still the least');
    schedule.delete(schedule.least as Task);
    assert.equal(schedule.least?.order, 2);
    schedule.delete(schedule.least as Task);
    assert.equal(schedule.least, free, 'the last one that waits');
  });

  it('never starts more of a key than allowed, starts them in order, strands none, and remembers no idle key', () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ key: fc.constantFrom('a', 'b', undefined), priority: fc.nat(3) }) },
      { weight: 4, arbitrary: fc.constant('shift' as const) },
      { weight: 3, arbitrary: fc.nat(5).map((end) => ({ end })) },
      { weight: 2, arbitrary: fc.nat(9).map((cancel) => ({ cancel })) },
    );
    const steps = fc.array(step, { maxLength: 150, size: 'max' });
    const limits = fc.record({ a: fc.integer({ min: 1, max: 3 }), b: fc.integer({ min: 1, max: 3 }) });
    const ageings = fc.constantFrom(1, 3, 1_000, Number.POSITIVE_INFINITY);
    fc.assert(
      fc.property(limits, ageings, fc.constantFrom('fifo', 'lifo'), steps, (perKey, ageing, order, calls) => {
        const limitOf = (key: string) => perKey[key as 'a' | 'b'];
        const { schedule, add } = make({ ageing, order }, limitOf);
        const waiting = new Set<Task>();
        const running = new Set<Task>();
        const busy = (key: string | undefined) => [...running].filter((task) => task.settings.key === key).length;
        const canStart = ({ settings: { key } }: Task) => key === undefined || busy(key) < limitOf(key);
        const shift = () => {
          const ready = [...waiting].filter(canStart);
          const task = schedule.shift(1);
          assert.equal(task !== undefined, ready.length > 0, 'starts one when one can start, and only then');
          if (!task) return;
          assert.ok(ready.includes(task), 'its key has a place');
          for (const other of ready) {
            if (other.settings.priority !== task.settings.priority) continue;
            assert.ok(order === 'fifo' ? other.order >= task.order : other.order <= task.order, 'in its order');
          }
          if (ageing === Number.POSITIVE_INFINITY) {
            assert.ok(ready.every(({ settings: { priority } }) => priority >= task.settings.priority));
          }
          waiting.delete(task);
          running.add(task);
        };
        for (const call of calls) {
          if (call === 'shift') shift();
          else if ('end' in call) {
            const task = [...running][call.end];
            if (task && running.delete(task)) schedule.release(task);
          } else if ('cancel' in call) {
            const task = [...waiting][call.cancel];
            if (task && waiting.delete(task)) schedule.delete(task);
          } else {
            const { key, priority } = call;
            waiting.add(add(key === undefined ? { priority } : { key, priority }));
          }
          assert.equal(schedule.size, waiting.size);
        }
        while (waiting.size > 0) {
          shift();
          const [task] = running;
          if (task && running.delete(task)) schedule.release(task);
        }
        for (const task of running) schedule.release(task);
        assert.deepEqual([schedule.size, schedule.keys], [0, 0]);
      }),
      { numRuns: 300 },
    );
  });
});

describe('Schedule: weights and pace', () => {
  it('holds everything back until a heavy task at the head fits', () => {
    const { add, start } = make();
    add({ weight: 3 });
    add();
    assert.deepEqual(start(2), []);
    assert.deepEqual(start(3), [0, 1]);
  });

  it('takes permits only for a task that starts', () => {
    const clock = new VirtualClock();
    const asked: number[] = [];
    const bucket = tokenBucket({ limit: 1, burst: 1, clock });
    const rate = {
      take(weight = 1) {
        asked.push(weight);
        return bucket.take(weight);
      },
    };
    let woken = 0;
    const pace = new Pace(clock, rate, () => woken++);
    const { add, start } = make({ pace });
    add({ weight: 9 });
    assert.deepEqual(start(8), []);
    assert.deepEqual(asked, [], 'too heavy for now');
    assert.deepEqual(start(), [0]);
    add({ key: 'k' });
    assert.deepEqual(start(), []);
    assert.deepEqual(start(), [], 'and it is not asked again before the time');
    assert.deepEqual(asked, [9, 1]);
    pace.stop();
    assert.equal(clock.pending, 0);
    assert.equal(woken, 0);
  });
});
