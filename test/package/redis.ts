/** The same first day with the jobs in Redis: the address is the argument. */
import { Client, defineJob, JobServer, openBackend } from 'millrace';

const greeted = Promise.withResolvers<string>();
const greet = defineJob({ name: 'greet', run: (to: { name: string }) => greeted.resolve(`hello ${to.name}`) });
const backend = await openBackend(process.argv[2] as string);
const server = new JobServer({ backend, jobs: [greet] });
await server.start();
await new Client({ backend }).enqueue(greet, { name: 'world' });
console.log(await greeted.promise);
await server.stop();
await backend.close();
