/** The tasks as workerpool wants them: registered by name. A listener lets a cancelled task keep its thread. */
import { load } from '../peers.ts';
import acknowledge from './acknowledge.ts';
import add from './add.ts';
import { type Stoppable, tellStarted } from './context.ts';
import deaf from './deaf.ts';
import object from './object.ts';
import spin from './spin.ts';

interface Worker {
  readonly worker: { addAbortListener(listener: () => Promise<void>): void };
}

const { default: workerpool } = await load('workerpool');
workerpool.worker({
  add,
  object,
  acknowledge,
  spin,
  deaf,
  listens(this: Worker, { started }: Stoppable): Promise<void> | undefined {
    if (!started) return;
    return new Promise((_, reject) => {
      this.worker.addAbortListener(async () => reject(new Error('aborted')));
      tellStarted(started);
    });
  },
});
