/** Runs one measurement in a child: in an empty folder, beside an empty Redis server where it needs one. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { figuresOf } from '../children.ts';
import type { Figures } from '../figures.ts';
import { foreignCpu } from '../machine.ts';
import { startRedis } from './redis.ts';
import { runtimeFor } from './runtimes.ts';
import type { Spec, Task } from './spec.ts';

export interface MeasureOptions {
  /** ms after which the child is killed. */
  readonly limit: number;
  /** Where folders are made, and removed afterwards. */
  readonly folder: string;
}

const cache = fileURLToPath(new URL('../../node_modules/.cache/bench-jobs', import.meta.url));

/** The child's figures, and `foreign`, the CPU that others used meanwhile. Rejects when it fails and when it takes too long. */
export async function measureInChild(spec: Spec, peer: string | undefined, options: MeasureOptions): Promise<Figures> {
  const others = foreignCpu();
  const folder = mkdtempSync(join(options.folder, `${spec.system}-`));
  try {
    let figures: Figures;
    const server = spec.server === 'redis' ? await startRedis(folder) : undefined;
    try {
      const task: Task = { ...spec, folder, ...(server && { redis: server.port }) };
      const { command, args } = runtimeFor(peer);
      // Types are stripped once, not in each child: a package that is installed is JavaScript.
      const env = { NODE_COMPILE_CACHE: cache };
      figures = await figuresOf(command, [...args, JSON.stringify(task)], { limit: options.limit, env });
    } finally {
      await server?.stop();
    }
    const foreign = others?.();
    return { ...figures, ...(foreign !== undefined && { foreign }) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
