/**
 * The thread of the heart: a link of its own, and a beat now and then. A beat that fails is made good by the next one, and
 * while one is under way (the link sends it until it is answered) no other is sent for the same server to the same place. A
 * node of a cluster that is away does not hold up the beats at others.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { ServerInfo } from '../backend.ts';
import { Hearts } from '../hearts.ts';
import type { Beating, FromHeart, HeartMake, ToHeart } from './heart.ts';
import { makeLink } from './link/link.ts';
import { encode } from './msgpack.ts';

const { address, script } = workerData as HeartMake;
// A lost beat costs nothing, so none waits for disks or replicas.
const link = makeLink({ ...address, waitForDisk: false, waitForReplicas: 0 });
const beating = new Map<string, Beating>();
/** By server and key. */
const underWay = new Map<string, Map<string, Promise<void>>>();
/** Servers of which the main thread does not know yet that they beat. */
const silent = new Set<string>();
const tell = (message: FromHeart) => parentPort?.postMessage(message);

const hearts = new Hearts(({ id }) => {
  const { server, keys } = beating.get(id) as Beating;
  const sent = underWay.get(id) ?? new Map<string, Promise<void>>();
  underWay.set(id, sent);
  for (const key of keys) {
    if (sent.has(key)) continue;
    const beat = send(server, key)
      .catch(() => undefined)
      .finally(() => sent.delete(key));
    sent.set(key, beat);
  }
});

async function send(server: ServerInfo, key: string): Promise<void> {
  await link.open();
  await link.run(script, key, encode({ id: server.id, info: JSON.stringify(server) }));
  if (silent.delete(server.id)) tell({ kind: 'beats', server: server.id });
}

parentPort?.on('message', async (message: ToHeart) => {
  if (message.kind === 'start') {
    beating.set(message.server.id, message);
    silent.add(message.server.id);
    hearts.start(message.server, message.options);
    return;
  }
  hearts.stop(message.server);
  await Promise.all(underWay.get(message.server)?.values() ?? []);
  underWay.delete(message.server);
  tell({ kind: 'stopped', server: message.server });
});
