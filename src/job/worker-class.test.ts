import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isError } from '../errors.ts';
import { performJob } from '../testing/testing.ts';
import type { PayloadOf, ResultOf } from './job.ts';
import { workerClass } from './worker-class.ts';

const bytesOf = (args: readonly unknown[]) => Buffer.from(workerClass('C').codec.encode(args, 'C')).toString();

describe('workerClass', () => {
  it('gives the body the queue, the arguments one by one, and what a job knows as its `this`', async () => {
    const mail = workerClass('Mail', function (queue, to: string, copies: number) {
      this.log(`attempt ${this.attempt}`);
      return `${queue}: ${copies} to ${to}`;
    });
    const run = await performJob(mail, ['ada', 2], { queue: 'high' });
    assert.equal(run.outcome === 'completed' && run.value, 'high: 2 to ada');
    assert.deepEqual(run.log, ['attempt 1']);
  });

  it('is typed by the parameters of its body (checked by the compiler)', () => {
    const mail = workerClass('Mail', (_queue, _to: string, _copies: number) => true);
    const args: PayloadOf<typeof mail> = ['ada', 2];
    // @ts-expect-error the second argument is a number
    const wrong: PayloadOf<typeof mail> = ['ada', '2'];
    const result: ResultOf<typeof mail> = false;
    const elsewhere: PayloadOf<ReturnType<typeof workerClass<[to: string]>>> = ['ada'];
    assert.deepEqual([args[0], wrong[0], elsewhere[0], result, mail.name], ['ada', 'ada', 'ada', false, 'Mail']);
  });

  it('is written as a plain JSON array: numbers as everybody writes them, bigints as integers', () => {
    assert.equal(bytesOf(['hi', 'there']), '["hi","there"]');
    assert.equal(
      bytesOf(['<a&b>', 'é', '\u2028', '😀', null, { a: [1.5, -0] }]),
      '["<a&b>","é","\u2028","😀",null,{"a":[1.5,0]}]',
    );
    assert.equal(bytesOf([1e21, 2 ** 53, 2n ** 53n + 1n]), '[1e+21,9007199254740992,9007199254740993]');
    assert.equal(
      workerClass('C', { bigints: true }).codec.name,
      'json',
      'a peer that knows no codec names can write it',
    );
  });

  it('gives integers beyond 2^53 as bigints when it is told to, and as the nearest number when not', () => {
    const bytes = Buffer.from('[9007199254740993, 1, 1.0, -18446744073709551616]');
    assert.deepEqual(workerClass('C', { bigints: true }).codec.decode(bytes), [9007199254740993n, 1, 1, -(2n ** 64n)]);
    assert.deepEqual(workerClass('C').codec.decode(bytes), [9007199254740992, 1, 1, -(2 ** 64)]);
  });

  it('refuses arguments that are no array, where they go in and where they are run', async () => {
    const mail = workerClass('Mail', () => 'sent');
    const payload = { to: 'ada' } as unknown as readonly [];
    await assert.rejects(performJob(mail, payload), {
      code: 'MILLRACE_PAYLOAD_INVALID',
      message: /expected an array of arguments, got a Object/,
    });
    const run = await performJob({ ...mail, schema: undefined }, payload); // as a peer that checks nothing sends it
    assert.ok(run.outcome === 'failed' && isError(run.error, 'PAYLOAD_INVALID'));
  });

  it('takes the options of a job, and refuses others', async () => {
    const pay = workerClass('Pay', (_queue, _account: string, _cents: number) => undefined, {
      queue: 'money',
      maxAttempts: 3,
      key: ([account]) => account,
      tags: ([, cents]) => (cents > 1_000 ? ['large'] : []),
    });
    assert.deepEqual([pay.queue, pay.maxAttempts], ['money', 3]);
    assert.deepEqual([pay.keyOf(['acme', 1]), pay.tagsOf(['acme', 2_000])], ['acme', ['large']]);
    const wrong = (options: object) => () => workerClass('Pay', () => undefined, options);
    assert.throws(wrong({ codec: {} }), { code: 'MILLRACE_OPTION_UNKNOWN' });
    assert.throws(wrong({ bigints: 'yes' }), { code: 'MILLRACE_OPTION_INVALID' });
    assert.throws(() => workerClass(''), { code: 'MILLRACE_OPTION_INVALID' });
  });

  it('fails, without a body, as a job that nobody registered here', async () => {
    const run = await performJob(workerClass<[string]>('Elsewhere'), ['hi']);
    assert.ok(run.outcome === 'failed' && isError(run.error, 'JOB_UNKNOWN'));
  });
});
