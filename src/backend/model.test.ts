/**
 * Memory and SQLite against the reference model; and the test itself against backends that are wrong on purpose: what it
 * would not find in them, it does not find in the others either.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { MillraceError } from '../errors.ts';
import { jobStates } from '../job/state.ts';
import { settable } from '../testing/settable.ts';
import type { Backend } from './backend.ts';
import { commandsOf } from './conformance/model-commands.ts';
import type { ModelHarness } from './conformance/model-twins.ts';
import { counterexample, modelTest, replay } from './conformance/modelling.ts';
import { MemoryBackend } from './memory/memory.ts';
import { SqliteBackend } from './sqlite/backend.ts';

/** @param flaw makes the backend wrong */
const memory = (flaw: (backend: Backend) => Partial<Backend> = () => ({})): ModelHarness => ({
  async open() {
    const { clock, ...rest } = settable();
    const backend = new MemoryBackend({ clock });
    await backend.open();
    const parts: Partial<Backend> = flaw(backend);
    const get = (_: Backend, name: keyof Backend): unknown => {
      const own: unknown = parts[name] ?? Reflect.get(backend, name);
      return typeof own === 'function' ? own.bind(backend) : own;
    };
    return { backend: new Proxy<Backend>(backend, { get: get as ProxyHandler<Backend>['get'] & {} }), ...rest };
  },
});

const sqlite: ModelHarness = {
  async open() {
    const { clock, ...rest } = settable();
    const folder = await mkdtemp(join(tmpdir(), 'millrace-'));
    const connect = async () => {
      const backend = new SqliteBackend(join(folder, 'jobs.db'), { clock, synchronous: 'normal' });
      await backend.open();
      return backend;
    };
    return { backend: await connect(), second: connect, ...rest, cleanup: () => rm(folder, { recursive: true }) };
  },
};

modelTest('memory', memory(), { sequences: 100 });
modelTest('sqlite', sqlite, { sequences: 10 });

describe('the test against the model', () => {
  it('comes to every state, every command and every kind of answer', async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 40; seed++) await replay(memory(), commandsOf(seed, 200), seen);
    const commands = commandsOf(0, 1000).map((command) => command.do);
    const answers = [
      'stored',
      'repeated',
      'mismatch',
      'full',
      'existing',
      'taken',
      'stale',
      'order',
      'tidied',
      'nextAt',
    ];
    const changes = ['changed', 'busy', 'unknown', 'unknown server', 'schedule fired', 'schedule stale'];
    const acts = ['retry', 'cancel', 'discard', 'remove'];
    const missed = [...commands, ...jobStates, ...answers, ...changes, ...acts].filter((each) => !seen.has(each));
    assert.deepEqual(missed, []);
  });

  it('asks nothing of a backend that it says it cannot do', async () => {
    const names = ['keys', 'unique', 'schedules', 'events', 'results', 'update', 'limits'] as const;
    const lacks = Object.fromEntries(names.map((name) => [name, 'It is a test.']));
    const refuse = () => Promise.reject(new MillraceError('NOT_SUPPORTED', { backend: 'poor', what: '', reason: '' }));
    const isMore = (value: object) =>
      ['key', 'unique', 'keepFor', 'keys', 'events', 'concurrency', 'rate'].some((name) => name in value);
    const poor = memory((backend) => ({
      lacks,
      update: refuse,
      putSchedule: refuse,
      removeSchedule: refuse,
      schedules: refuse,
      dueSchedules: refuse,
      fire: refuse,
      add: (groups) => (groups.some(({ jobs }) => jobs.some(isMore)) ? refuse() : backend.add(groups)),
      configure: (queue, change) => (isMore(change) ? refuse() : backend.configure(queue, change)),
    }));
    for (let seed = 0; seed < 5; seed++) assert.equal(await counterexample(poor, commandsOf(seed, 200)), undefined);
  });

  /** Each is a mistake that a backend could make. */
  const flaws: Readonly<Record<string, (backend: Backend) => Partial<Backend>>> = {
    'takes the outcome of a former holder'(backend) {
      const latest = new Map<string, number>();
      return {
        async claim(request) {
          const result = await backend.claim(request);
          for (const { id, claim } of result.jobs) latest.set(id, claim);
          return result;
        },
        settle: (server, outcomes) =>
          backend.settle(
            server,
            outcomes.map((outcome) => ({ ...outcome, claim: latest.get(outcome.id) ?? outcome.claim })),
          ),
      };
    },
    'gives a key a slot too many': (backend) => ({
      async claim(request) {
        const counts = await backend.counts();
        const set = async (more: number) => {
          for (const { queue, settings } of counts) {
            const { concurrency } = settings.keys;
            if (concurrency !== null) await backend.configure(queue, { keys: { concurrency: concurrency + more } });
          }
        };
        await set(1);
        return backend.claim(request).finally(() => set(0));
      },
    }),
    'adds what a unique rule keeps out': (backend) => ({
      add: (groups) =>
        backend.add(groups.map((group) => ({ ...group, jobs: group.jobs.map(({ unique: _, ...job }) => job) }))),
    }),
    'hands the jobs of a dead server back as if it had left': (backend) => ({
      async rescue(lease) {
        const { now } = await backend.dueSchedules(1);
        const lost = (await backend.servers()).filter(({ beatAt }) => now - beatAt >= lease);
        for (const { id } of lost) await backend.leave(id);
        return lost.reduce((sum, { running }) => sum + running, 0);
      },
    }),
    'wakes its servers too late': (backend) => ({
      async claim(request) {
        const { jobs, nextAt } = await backend.claim(request);
        return nextAt === undefined ? { jobs } : { jobs, nextAt: nextAt + 1 };
      },
    }),
    'fires a tick twice': (backend) => ({
      async fire(firings) {
        const schedules = await backend.schedules();
        const tickOf = (name: string) => schedules.find(({ key }) => key === name)?.nextAt;
        return backend.fire(firings.map((firing) => ({ ...firing, tick: tickOf(firing.key) ?? firing.tick })));
      },
    }),
    'removes what runs with the rest': (backend) => ({
      async act(action, filter, page) {
        if (action.kind === 'remove') for (const { id } of await backend.servers()) await backend.leave(id);
        return backend.act(action, filter, page);
      },
    }),
    'forgets an order': (backend) => ({ orders: async (server) => (await backend.orders(server)).slice(1) }),
  };
  for (const [name, flaw] of Object.entries(flaws)) {
    it(`finds a backend that ${name}, and shows it in a few commands`, async () => {
      let found: string | undefined;
      for (let seed = 0; !found && seed < 100; seed++)
        found = await counterexample(memory(flaw), commandsOf(seed, 100));
      assert.match(found ?? 'nothing found', /^await replay\(harness, \[\n(?: {2}\{ do: .*\n){1,12}\]\);$/m);
    });
  }
});
