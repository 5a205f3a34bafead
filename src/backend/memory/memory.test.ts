import { VirtualClock } from '../../clock.ts';
import { conformance } from '../conformance.ts';
import { MemoryBackend } from './memory.ts';

conformance('memory', {
  async open() {
    const clock = new VirtualClock();
    const backend = new MemoryBackend({ clock });
    await backend.open();
    return { backend, advance: (ms) => clock.advance(ms) };
  },
});
