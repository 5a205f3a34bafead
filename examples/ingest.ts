/**
 * A million requests a minute, by hand: HTTP in, S3 out, from the same parts that `millrace serve` is made of. Collections
 * of payloads come in at POST /payloads, each payload becomes a job, and a few workers upload them at a pace that hurts
 * neither this machine nor the store.
 *
 *   MAX_WORKERS=16 MAX_QUEUE=10000 node examples/ingest.ts s3://bucket/prefix
 *   MAX_WORKERS=16 MAX_QUEUE=10000 node examples/ingest.ts file:objects
 */
import {
  Client,
  compileKeyTemplate,
  defineJob,
  FrontDoor,
  GatedSink,
  JobServer,
  openBackend,
  openSink,
  type Sink,
  stopOnSignals,
} from '../src/index.ts';

export interface IngestOptions {
  readonly backend: string;
  readonly sink: Sink;
  readonly maxWorkers: number;
  readonly maxQueue: number;
  readonly port: number;
}

export async function ingest(options: IngestOptions) {
  const { backend: url, sink, maxWorkers, maxQueue, port } = options;
  const backend = await openBackend(url);
  const gate = new GatedSink(sink); // finds how many uploads the store can bear, and waits while it is away
  const keyOf = compileKeyTemplate('{queue}/{id}.json');

  const upload = defineJob({
    name: 'upload',
    run: (_payload, job) => gate.put({ key: keyOf(job), body: job.bytes, contentType: 'application/json' }, job.signal),
  });
  const server = new JobServer({ backend, jobs: [upload], workers: maxWorkers });
  const client = new Client({ backend });
  const door = new FrontDoor({ add: (group) => client.add(group), job: upload.name, port, maxQueue });

  await server.start();
  await door.start();
  const stop = async () => {
    await door.stop(); // nothing new comes in, what has begun is answered
    await server.stop(); // what runs is finished, what waits stays in the queue
    await gate.close();
    await client.close();
    await backend.close();
  };
  return { url: door.url, stop };
}

if (import.meta.main) {
  const { MAX_WORKERS = '16', MAX_QUEUE = '10000', PORT = '8080' } = process.env;
  const sink = await openSink(process.argv[2] ?? 'file:objects');
  const program = await ingest({
    backend: 'sqlite:jobs.db',
    sink,
    maxWorkers: Number(MAX_WORKERS),
    maxQueue: Number(MAX_QUEUE),
    port: Number(PORT),
  });
  console.log(`POST payloads to ${program.url}/payloads`);
  await stopOnSignals([program]);
}
