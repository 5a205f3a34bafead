/**
 * The thread of the heart: a link of its own, and a beat now and then. A beat that fails is made good by the next one, and
 * while one is under way (the link sends it until it is answered) no other is sent for the same server.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Hearts } from '../hearts.ts';
import type { Beating, HeartMake, ToHeart } from './heart.ts';
import { makeLink } from './link.ts';
import { encode } from './msgpack.ts';

const { address, script } = workerData as HeartMake;
// A lost beat costs nothing, so none waits for disks or replicas.
const link = makeLink({ ...address, waitForDisk: false, waitForReplicas: 0 });
const beating = new Map<string, Beating>();
const underWay = new Map<string, Promise<void>>();

const hearts = new Hearts(({ id }) => {
  if (underWay.has(id)) return;
  const sent = send(beating.get(id) as Beating)
    .catch(() => undefined)
    .finally(() => underWay.delete(id));
  underWay.set(id, sent);
});

async function send({ server, keys }: Beating): Promise<void> {
  await link.open();
  const request = encode({ id: server.id, info: JSON.stringify(server) });
  await Promise.all(keys.map((key) => link.run(script, key, request)));
}

parentPort?.on('message', async (message: ToHeart) => {
  if (message.kind === 'start') {
    beating.set(message.server.id, message);
    hearts.start(message.server, message.options);
    return;
  }
  hearts.stop(message.server);
  await underWay.get(message.server);
  parentPort?.postMessage(message.server);
});
