import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isError, MillraceError } from './errors.ts';
import { Service } from './lifecycle.ts';
import { stressService } from './testing/stress.ts';

/** Counts what it holds; hooks can be held open or made to fail. */
class Recorder extends Service {
  readonly log: string[] = [];
  held = 0;
  failStart: Error | undefined;
  failStop: Error | undefined;
  gate: Promise<void> = Promise.resolve();

  protected override async onStart(): Promise<void> {
    this.log.push('start');
    assert.equal(this.held++, 0, 'onStart runs only when nothing is held');
    await this.gate;
    if (this.failStart) throw this.failStart;
    this.log.push('started');
  }

  protected override async onStop(): Promise<void> {
    this.log.push('stop');
    assert.equal(this.held--, 1, 'onStop runs once for each onStart');
    await this.gate;
    if (this.failStop) throw this.failStop;
    this.log.push('stopped');
  }

  use(): void {
    this.assertRunning('the recorder');
  }
}

describe('Service', () => {
  it('survives 50 parallel starts and stops, ten times', () =>
    stressService(() => new Recorder(), {
      afterStop: (service) => assert.equal((service as Recorder).held, 0, 'a stopped service holds nothing'),
    }));

  it('goes through its states in order', async () => {
    const service = new Recorder();
    const states: string[] = [service.state];
    const gate = Promise.withResolvers<void>();
    service.gate = gate.promise;
    const started = service.start();
    await Promise.resolve();
    states.push(service.state);
    gate.resolve();
    await started;
    states.push(service.state);
    const stopped = service.stop();
    await Promise.resolve();
    states.push(service.state);
    await stopped;
    states.push(service.state);
    assert.deepEqual(states, ['idle', 'starting', 'running', 'stopping', 'stopped']);
  });

  it('never overlaps its hooks', async () => {
    const service = new Recorder();
    await Promise.all([service.start(), service.stop(), service.start(), service.start(), service.stop()]);
    assert.deepEqual(service.log, ['start', 'started', 'stop', 'stopped', 'start', 'started', 'stop', 'stopped']);
  });

  it('does nothing when stopped before it was started', async () => {
    const service = new Recorder();
    await service.stop();
    assert.equal(service.state, 'idle');
    assert.deepEqual(service.log, []);
  });

  it('releases what a failed start had made, and can be started again', async () => {
    const service = new Recorder();
    service.failStart = new Error('no port');
    await assert.rejects(service.start(), { message: 'no port' });
    assert.equal(service.state, 'stopped');
    assert.deepEqual(service.log, ['start', 'stop', 'stopped']);
    service.failStart = undefined;
    await service.start();
    assert.equal(service.state, 'running');
    await service.stop();
  });

  it('tells why the start failed even when releasing fails too', async () => {
    const service = new Recorder();
    service.failStart = new Error('no port');
    service.failStop = new Error('and no way back');
    await assert.rejects(service.start(), { message: 'no port' });
    assert.equal(service.state, 'stopped');
  });

  it('is stopped after a stop that failed, and says why', async () => {
    const service = new Recorder();
    await service.start();
    service.failStop = new Error('stuck');
    await assert.rejects(service.stop(), { message: 'stuck' });
    assert.equal(service.state, 'stopped');
  });

  it('a failed call does not fail the next one', async () => {
    const service = new Recorder();
    service.failStart = new Error('no port');
    const [first, second] = await Promise.allSettled([service.start(), service.stop()]);
    assert.equal(first.status, 'rejected');
    assert.equal(second.status, 'fulfilled');
  });

  it('refuses use unless it is running', async () => {
    const service = new Recorder();
    assert.throws(
      () => service.use(),
      (error) => isError(error, 'NOT_RUNNING') && error.fields.state === 'idle' && error instanceof MillraceError,
    );
    await service.start();
    service.use();
    await service.stop();
    assert.throws(() => service.use(), { message: 'the recorder is not running (it is stopped)' });
  });

  it('stops at the end of its scope', async () => {
    const service = new Recorder();
    {
      await using scoped = service;
      await scoped.start();
    }
    assert.equal(service.state, 'stopped');
  });
});

describe('stressService', () => {
  it('finds a service whose calls overlap', async () => {
    class Overlapping extends Recorder {
      override start(): Promise<void> {
        return this.onStart();
      }
    }
    await assert.rejects(
      stressService(() => new Overlapping()),
      { code: 'ERR_ASSERTION' },
    );
  });

  it('finds a service that stop leaves running', async () => {
    class Unstoppable extends Recorder {
      override async stop(): Promise<void> {}
    }
    await assert.rejects(
      stressService(() => new Unstoppable()),
      { code: 'ERR_ASSERTION' },
    );
  });
});
