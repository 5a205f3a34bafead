/** One run: a contender, the load against it, and what came of it. */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Contender, Running } from './contenders.ts';
import { PER_REQUEST } from './payloads.ts';
import type { Program } from './program.ts';
import {
  ACCEPTED,
  type AttemptStats,
  type LoadProgress,
  type LoadResult,
  REFUSED,
  type SinkStats,
} from './protocol.ts';

export interface RunOptions {
  readonly seconds: number;
  readonly connections: number;
  /** Where runs put their files; on a real disk, or a commit costs nothing. */
  readonly folder: string;
  /** Ends the server by SIGKILL when the load ends, starts it again, and counts what is missing then. */
  readonly kill?: boolean;
}

export interface Run {
  readonly acceptedPerSecond: number;
  readonly refusedPerSecond: number;
  readonly p50: number;
  readonly p99: number;
  /** Payloads that arrived in the sink per second, while the load ran. */
  readonly uploadedPerSecond?: number;
  /** Share of the sink's answers that were SlowDown, from the tenth second on (or the middle of a shorter run). */
  readonly slowDowns?: number;
  /** Accepted and not yet delivered payloads, in the middle of the run and at its end. */
  readonly backlog?: { readonly middle: number; readonly end: number };
  /** Bytes. */
  readonly peak: number;
  /** CPU of the server per request, µs. */
  readonly cpu: number;
  /** Payloads that break the promise "accepted: exactly once, refused: not at all". */
  readonly missing?: number;
  readonly twice?: number;
  readonly stray?: number;
}

/** A moment of the load. */
interface Sample {
  readonly t: number;
  /** Payloads that had arrived, and those accepted that had not. */
  readonly delivered: number;
  readonly held: number;
  readonly puts: number;
  readonly slowDowns: number;
}

export async function runOnce(contender: Contender, options: RunOptions): Promise<Run> {
  const folder = join(options.folder, `${contender.name.replace(/\W+/g, '-')}-${Date.now()}`);
  mkdirSync(folder, { recursive: true });
  const running = await contender.start(folder);
  try {
    return await measure(contender, running, folder, options);
  } finally {
    await running.server.stop();
    await running.sink?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measure(contender: Contender, running: Running, folder: string, options: RunOptions): Promise<Run> {
  const { server, sink } = running;
  const outcomesFile = join(folder, 'outcomes');
  const before = server.usage();
  const { result, samples } = await load(running, outcomesFile, options);
  const after = server.usage();
  const refused = result.answered - (result.statuses['200'] ?? 0);
  return {
    acceptedPerSecond: result.acceptedPerSecond,
    refusedPerSecond: refused / result.seconds,
    p50: result.latency.p50,
    p99: result.latency.p99,
    peak: after.peak,
    cpu: (after.cpu - before.cpu) / Math.max(1, result.sent),
    ...delivery(samples),
    // The article's handlers: what they had answered 200 and not uploaded when the last sample was taken.
    ...(running.holdsInMemory ? { missing: samples.at(-1)?.held ?? 0 } : {}),
    ...(sink ? await verify(contender, running, folder, options, result) : {}),
  };
}

/** Runs the load to its end, and once a second looks at what has been delivered. */
async function load(running: Running, outcomes: string, options: RunOptions) {
  const { server, sink, holdsInMemory } = running;
  const program = fileURLToPath(new URL('./load.ts', import.meta.url));
  const { seconds, connections } = options;
  const args = ['--port', server.port, '--seconds', seconds, '--connections', connections, '--outcomes', outcomes];
  const child = spawn(process.execPath, [program, ...args.map(String)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const samples: Sample[] = [];
  let last = '';
  for await (const line of createInterface({ input: child.stdout })) {
    last = line;
    const { t, accepted } = JSON.parse(line) as Partial<LoadProgress>;
    if (t === undefined || accepted === undefined) continue;
    if (sink) samples.push(sampleOfSink(t, accepted, await sink.get<SinkStats>('/-/stats')));
    if (holdsInMemory) samples.push(sampleOfMemory(t, await server.get<AttemptStats>('/stats')));
  }
  const result = JSON.parse(last) as LoadResult;
  if (result.answered === undefined) throw new Error('the load ended without a result');
  return { result, samples };
}

function sampleOfSink(t: number, accepted: number, { payloads, puts, slowDowns }: SinkStats): Sample {
  return { t, delivered: payloads, held: Math.max(0, accepted * PER_REQUEST - payloads), puts, slowDowns };
}

function sampleOfMemory(t: number, { accepted, uploaded }: AttemptStats): Sample {
  return { t, delivered: uploaded, held: accepted - uploaded, puts: uploaded, slowDowns: 0 };
}

function delivery(samples: readonly Sample[]): Pick<Run, 'uploadedPerSecond' | 'backlog' | 'slowDowns'> {
  const [first, last] = [samples[1], samples.at(-1)];
  const middle = samples[Math.floor(samples.length / 2)];
  if (!first || !middle || !last || first === last) return {};
  const settled = samples.find(({ t }) => t >= 10) ?? middle;
  const slowDowns = last.slowDowns - settled.slowDowns;
  const puts = last.puts - settled.puts;
  return {
    uploadedPerSecond: (last.delivered - first.delivered) / (last.t - first.t),
    backlog: { middle: middle.held, end: last.held },
    slowDowns: slowDowns / Math.max(1, slowDowns + puts),
  };
}

/** Waits until everything has arrived, and compares the sink with what was answered, number by number. */
async function verify(
  contender: Contender,
  running: Running,
  folder: string,
  options: RunOptions,
  result: LoadResult,
): Promise<Pick<Run, 'missing' | 'twice' | 'stray'>> {
  const sink = running.sink as Program;
  let again: Running | undefined;
  if (options.kill) {
    await running.server.kill();
    again = await contender.restart?.(folder, sink);
  }
  try {
    await drain(sink, result.accepted * PER_REQUEST);
  } finally {
    await again?.server.stop();
  }
  return compare(readFileSync(join(folder, 'outcomes')), await sink.bytes('/-/counts'));
}

/** Resolves when `payloads` have arrived, or when nothing has for a while. */
async function drain(sink: Program, payloads: number): Promise<void> {
  let before = -1;
  for (let idle = 0; idle < 100; idle++) {
    const { payloads: now } = await sink.get<SinkStats>('/-/stats');
    if (now >= payloads) return;
    if (now > before) idle = 0;
    before = now;
    await pause(200);
  }
}

export function compare(outcomes: Uint8Array, counts: Uint8Array): { missing: number; twice: number; stray: number } {
  const found = { missing: 0, twice: 0, stray: 0 };
  outcomes.forEach((outcome, request) => {
    for (let i = 0; i < PER_REQUEST; i++) {
      const count = counts[request * PER_REQUEST + i] ?? 0;
      if (count > 1) found.twice++;
      if (outcome === ACCEPTED && count === 0) found.missing++;
      if (outcome === REFUSED && count > 0) found.stray++;
    }
  });
  return found;
}
