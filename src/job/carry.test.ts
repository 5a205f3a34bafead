import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, it } from 'node:test';
import { carry } from './carry.ts';
import { currentTrace, type Trace, traceContext, withTrace } from './trace.ts';

describe('carry', () => {
  const store = new AsyncLocalStorage<string>();
  const pair = carry({
    header: 'tenant',
    capture: () => store.getStore(),
    restore: (value, run) => store.run(value, run),
  });

  it('brings what was captured at the enqueue back around the body', async () => {
    const draft = { headers: {} as Record<string, string> };
    await store.run('acme', () => pair.enqueue(draft, async () => undefined));
    assert.deepEqual(draft.headers, { tenant: 'acme' });
    assert.equal(await pair.perform(draft, async () => store.getStore()), 'acme');
    assert.equal(store.getStore(), undefined);
  });

  it('leaves jobs alone that have nothing to carry', async () => {
    const draft = { headers: {} as Record<string, string> };
    await pair.enqueue(draft, async () => undefined);
    assert.deepEqual(draft.headers, {});
    assert.equal(await pair.perform(draft, async () => store.getStore() ?? 'none'), 'none');
  });

  it('refuses options that cannot be', () => {
    const options = { header: '', capture: () => '', restore: async () => 1 };
    assert.throws(() => carry(options), { code: 'MILLRACE_OPTION_INVALID' });
  });
});

describe('traceContext', () => {
  const id = '4bf92f3577b34da6a3ce929d0e0e4736';
  const span = '00f067aa0ba902b7';
  const { enqueue, perform } = traceContext();
  const inBody = (headers: Record<string, string>) =>
    perform({ headers }, async () => currentTrace()) as Promise<Trace | undefined>;

  it('goes on with a trace from the request to the job, a new span for each run', async () => {
    const draft = { headers: {} as Record<string, string> };
    const request = { traceparent: `00-${id}-${span}-01`, tracestate: 'rojo=1,congo@eu=t6 1' };
    const outer = await withTrace(request, async () => {
      await enqueue(draft, async () => undefined);
      return currentTrace();
    });
    assert.equal(outer?.parentId, span);
    assert.deepEqual(draft.headers, { traceparent: outer?.traceparent, tracestate: request.tracestate });
    const [first, second] = [await inBody(draft.headers), await inBody(draft.headers)];
    for (const inner of [first, second]) {
      assert.equal(inner?.traceId, id);
      assert.equal(inner?.parentId, outer?.spanId);
      assert.equal(inner?.isSampled, true);
      assert.equal(inner?.state, request.tracestate);
      assert.match(inner?.traceparent ?? '', new RegExp(`^00-${id}-${inner?.spanId}-01$`));
    }
    assert.notEqual(first?.spanId, second?.spanId);
    assert.equal(currentTrace(), undefined);
  });

  it('begins a new trace for a job without one', async () => {
    const trace = await inBody({});
    assert.match(trace?.traceparent ?? '', /^00-[\da-f]{32}-[\da-f]{16}-00$/);
    assert.equal(trace?.parentId, undefined);
  });

  it('adds no header outside of a trace', async () => {
    const draft = { headers: {} as Record<string, string> };
    await enqueue(draft, async () => undefined);
    assert.deepEqual(draft.headers, {});
  });

  const wellFormed = [
    `00-${id}-${span}-00`,
    `00-${id}-${span}-ff`,
    `01-${id}-${span}-01`,
    `cc-${id}-${span}-01-what-is-to-come`,
  ];
  const malformed = [
    '',
    `00-${id}-${span}`,
    `00-${id}-${span}-01-more`,
    `00-${id}-${span}-01-`,
    `01-${id}-${span}-01.more`,
    `ff-${id}-${span}-01`,
    `00-${id.toUpperCase()}-${span}-01`,
    `00-${'0'.repeat(32)}-${span}-01`,
    `00-${id}-${'0'.repeat(16)}-01`,
    `00-${id.slice(1)}-${span}-01`,
    `00-${id}-${span}-0x`,
    `0-${id}-${span}-01`,
  ];
  it('reads every traceparent that the Recommendation allows, and no other', async () => {
    for (const traceparent of wellFormed) assert.equal((await inBody({ traceparent }))?.traceId, id, traceparent);
    for (const traceparent of malformed) {
      const trace = await inBody({ traceparent, tracestate: 'a=1' });
      assert.notEqual(trace?.traceId, id, traceparent);
      assert.deepEqual([trace?.parentId, trace?.state], [undefined, undefined], traceparent);
    }
    const several = withTrace({ traceparent: [`00-${id}-${span}-01`, `00-${id}-${span}-01`] }, currentTrace);
    assert.notEqual(several?.traceId, id);
  });

  it('hands on only the flag that it knows', async () => {
    const trace = await inBody({ traceparent: `00-${id}-${span}-fe` });
    assert.equal(trace?.traceparent.endsWith('-00'), true);
  });

  it('hands a tracestate on as it came, and drops one that is malformed', async () => {
    const many = (count: number) => Array.from({ length: count }, (_, i) => `k${i}=v`).join(',');
    const state = async (tracestate: string) =>
      (await inBody({ traceparent: `00-${id}-${span}-01`, tracestate }))?.state;
    for (const good of ['a=1', 'a=1 , b=2,,c=3', '1a@b=x', 'a= x', `a=${'v'.repeat(256)}`, many(32)]) {
      assert.equal(await state(good), good);
    }
    for (const bad of ['A=1', 'a', 'a=1,a=2', 'a==', 'a@=1', '1a=1', 'a=\u00e9', `a=${'v'.repeat(257)}`, many(33)]) {
      assert.equal(await state(bad), undefined, bad);
    }
    const listed = withTrace({ traceparent: `00-${id}-${span}-01`, tracestate: ['a=1', 'b=2'] }, currentTrace);
    assert.equal(listed?.state, 'a=1,b=2');
  });
});
