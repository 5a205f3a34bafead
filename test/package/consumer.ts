/** What a user writes on the first day. Checked and run against the packed package by run.js. */
import { Client, defineJob, JobServer, openBackend, Pool } from 'millrace';
import { testJobs } from 'millrace/testing';

const greeted = Promise.withResolvers<string>();
const greet = defineJob({ name: 'greet', run: (to: { name: string }) => greeted.resolve(`hello ${to.name}`) });
const backend = await openBackend('sqlite:jobs.db');
const server = new JobServer({ backend, jobs: [greet] });
await server.start();
await new Client({ backend }).enqueue(greet, { name: 'world' });
console.log(await greeted.promise);
await server.stop();
await backend.close();

const pool = new Pool<typeof import('./square.ts').default>({
  worker: new URL('./square.ts', import.meta.url),
  workers: 1,
});
const square: number = await pool.submit(12).done;
console.log(square);
await pool.close();

const twice = defineJob({ name: 'twice', run: (n: number) => 2 * n });
const jobs = await testJobs({ jobs: [twice] });
await jobs.client.enqueue('twice', 21);
await jobs.drain();
const run = jobs.assertCompleted(twice, { payload: 21 });
console.log(run.value);
await jobs.close();

// @ts-expect-error: the payload's type comes along with the package
export const wrong = () => new Client({ backend }).enqueue(greet, { nam: 'world' });
