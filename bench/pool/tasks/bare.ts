/**
 * A thread without a pool: runs the default export of the module that `workerData` names, once per message, or once per
 * job of a message that carries many; answers with the results, or only with their number.
 */
import { parentPort, workerData } from 'node:worker_threads';

const { task, batched, acknowledge } = workerData;
const { default: run } = await import(task);
parentPort?.on('message', (message) => {
  if (!batched) return parentPort?.postMessage(run(message));
  const results = message.map(run);
  parentPort?.postMessage(acknowledge ? results.length : results);
});
