import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VirtualClock } from '../../clock.ts';
import { conformance } from '../conformance.ts';
import { SqliteBackend } from './backend.ts';

conformance('sqlite', {
  async open() {
    const clock = new VirtualClock();
    const folder = await mkdtemp(join(tmpdir(), 'millrace-'));
    const connect = async () => {
      const backend = new SqliteBackend(join(folder, 'jobs.db'), { clock });
      await backend.open();
      return backend;
    };
    return {
      backend: await connect(),
      second: connect,
      advance: (ms) => clock.advance(ms),
      cleanup: () => rm(folder, { recursive: true }),
    };
  },
});
