/** Every system by its name. Only the one that is asked for is loaded: the others' packages may not be there. */
import type { Spec } from './spec.ts';
import type { Open } from './system.ts';

export const systems: Readonly<Record<string, () => Promise<{ readonly open: Open }>>> = {
  'bare-sqlite': () => import('../sqlite/bare.ts'),
  'bare-redis': () => import('../redis/bare.ts'),
  millrace: () => import('./systems/millrace.ts'),
  resque: () => import('../resque/system.ts'),
  plainjob: () => import('./peers/plainjob/plainjob.ts'),
  bunqueue: () => import('./peers/bunqueue/bunqueue.ts'),
  liteque: () => import('./peers/liteque/liteque.ts'),
  sidequest: () => import('./peers/sidequest/sidequest.ts'),
  bullmq: () => import('./peers/redis/bullmq.ts'),
  'bee-queue': () => import('./peers/redis/bee-queue.ts'),
  groupmq: () => import('./peers/groupmq/groupmq.ts'),
  platformatic: () => import('./peers/platformatic/platformatic.ts'),
};

/** Throws for a name that a sections.ts should not have. */
export async function loadSystem({ system }: Spec): Promise<Open> {
  const load = systems[system];
  if (!load) throw new Error(`no system is called "${system}"`);
  return (await load()).open;
}
