/**
 * The S3 client alone: what a PUT costs in CPU, signature, checksum and connection included.
 *
 *   node bench/ingest/put.ts [--seconds 5] [--rounds 3] [--concurrency 64] [--size 1024]
 *
 * Stores objects of `--size` bytes under ever new keys in the bench's sink, which runs in a process of its own and checks
 * nothing. Prints one line per round and the medians.
 */
import { parseArgs } from 'node:util';
import { openSink } from '../../src/sink/open.ts';
import { median, whole } from '../table.ts';
import { startSink } from './contenders.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    concurrency: { type: 'string', default: '64' },
    size: { type: 'string', default: '1024' },
  },
});
const WARM_UP = 1000;
const TARGET = 100;

const store = await startSink(['--forget']);
const credentials = { accessKeyId: 'bench', secretAccessKey: 'bench' };
const sink = await openSink('s3://bench/put', { s3: { endpoint: store.url, region: 'us-east-1', credentials } });
const body = Buffer.alloc(Number(values.size), 'a');
let keys = 0;

try {
  const rounds = [];
  await putFor(WARM_UP);
  for (let round = 1; round <= Number(values.rounds); round++) {
    const { puts, seconds, cpu } = await putFor(Number(values.seconds) * 1000);
    rounds.push({ perSecond: puts / seconds, cpu: cpu / puts });
    console.log(`round ${round}: ${whole(puts / seconds)} PUT/s, ${(cpu / puts).toFixed(1)} µs CPU per PUT`);
  }
  const cpu = median(rounds.map((round) => round.cpu));
  const perSecond = median(rounds.map((round) => round.perSecond));
  const met = cpu <= TARGET ? 'met' : 'MISSED';
  console.log(`median: ${whole(perSecond)} PUT/s, ${cpu.toFixed(1)} µs (target ≤ ${TARGET} at 1 KiB: ${met})`);
} finally {
  await sink.close();
  await store.stop();
}

/** Keeps `--concurrency` PUTs under way for `ms`. CPU is that of this process, all threads, in µs. */
async function putFor(ms: number): Promise<{ puts: number; seconds: number; cpu: number }> {
  const began = performance.now();
  const before = process.cpuUsage();
  const first = keys;
  const loop = async () => {
    while (performance.now() - began < ms) {
      await sink.put({ key: `payloads/${keys++}.json`, body, contentType: 'application/json' });
    }
  };
  await Promise.all(Array.from({ length: Number(values.concurrency) }, loop));
  const { user, system } = process.cpuUsage(before);
  return { puts: keys - first, seconds: (performance.now() - began) / 1000, cpu: user + system };
}
