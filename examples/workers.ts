/**
 * The program of goworker's first page: a worker class, and nothing else. Jobs come from whoever writes them into Redis.
 *
 *   redis-cli -r 100 RPUSH resque:queue:myqueue '{"class":"MyClass","args":["hi","there"]}'
 *   millrace work -require=examples/workers.ts -queues=myqueue -exit-on-complete
 */
export function MyClass(queue: string, ...args: unknown[]): void {
  console.log(`From ${queue}, [${args.join(' ')}]`);
}
