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
      // Nobody pulls the plug here, so nobody needs to wait for the disk.
      const backend = new SqliteBackend(join(folder, 'jobs.db'), { clock, synchronous: 'normal' });
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
