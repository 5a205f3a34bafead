/**
 * The bench's own loop around one Lua script: what this machine, this Redis and this way to store jobs can do, with nothing that
 * makes it a job system. No leases, retries, names, options or checks; a job that fails ends the run, and one process is all there is.
 *
 * Bodies are in a hash by number, the line is a list of numbers, what runs is in a set. What was asked in one turn of the event loop is
 * one call: adds, the ends of what has run, and one claim of as many jobs as there are free places. Two calls are under way at most,
 * so that Redis has the next one before it has answered the last.
 */
import { createHash } from 'node:crypto';
import { createClient } from 'redis';
import { CONCURRENCY, type Handler, type Open, type System } from '../jobs/system.ts';
import type { Letter } from '../letters.ts';

/** How many are added, ended and wanted; then what those are. The answer: numbers and bodies in turn. */
const EXCHANGE = `
  local adds, ends, room = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
  if adds > 0 then
    local first = redis.call('INCRBY', 'last', adds) - adds
    local line, bodies = {}, {}
    for i = 1, adds do
      local number = string.format('%d', first + i)
      line[i] = number
      bodies[2 * i - 1] = number
      bodies[2 * i] = ARGV[3 + i]
    end
    redis.call('HSET', 'bodies', unpack(bodies))
    redis.call('RPUSH', 'line', unpack(line))
  end
  if ends > 0 then
    redis.call('HDEL', 'bodies', unpack(ARGV, 4 + adds))
    redis.call('SREM', 'running', unpack(ARGV, 4 + adds))
  end
  local numbers = room > 0 and redis.call('LPOP', 'line', room)
  if not numbers then return {} end
  redis.call('SADD', 'running', unpack(numbers))
  local bodies = redis.call('HMGET', 'bodies', unpack(numbers))
  local answer = {}
  for i = 1, #numbers do
    answer[2 * i - 1] = numbers[i]
    answer[2 * i] = bodies[i]
  end
  return answer`;

const AT_ONCE = 2;

interface Waiting {
  readonly text: string;
  resolve(): void;
}

type Client = ReturnType<typeof createClient>;

class Bare implements System {
  readonly #client: Client;
  readonly #sha = createHash('sha1').update(EXCHANGE).digest('hex');
  #handler: Handler | undefined;
  #adds: Waiting[] = [];
  #ended: string[] = [];
  /** Places that are taken, or kept free for what a claim under way may bring. */
  #taken = 0;
  /** The last claim found all there was. */
  #dry = false;
  #calls = 0;
  #scheduled = false;
  #stopped = false;

  constructor(client: Client) {
    this.#client = client;
  }

  async open(): Promise<void> {
    await this.#client.connect();
    await this.#client.scriptLoad(EXCHANGE);
  }

  add(letter: Letter): Promise<void> {
    return new Promise((resolve) => {
      this.#adds.push({ text: JSON.stringify(letter), resolve });
      this.#schedule();
    });
  }

  async addMany(letters: readonly Letter[]): Promise<void> {
    await Promise.all(letters.map((letter) => this.add(letter)));
  }

  async work(handler: Handler): Promise<void> {
    this.#handler = handler;
    this.#schedule();
  }

  async left(): Promise<number> {
    return this.#client.hLen('bodies');
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    while (this.#scheduled || this.#calls > 0 || this.#taken > 0) await new Promise(setImmediate);
  }

  #schedule(): void {
    if (this.#scheduled || this.#calls === AT_ONCE) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      void this.#exchange();
    });
  }

  async #exchange(): Promise<void> {
    const adds = this.#adds.splice(0);
    const ended = this.#ended.splice(0);
    this.#taken -= ended.length;
    if (adds.length > 0) this.#dry = false;
    const claims = this.#handler !== undefined && !this.#dry && !this.#stopped;
    const room = claims ? CONCURRENCY - this.#taken : 0;
    if (adds.length + ended.length + room === 0) return;
    this.#taken += room;
    this.#calls++;
    const counts = [adds.length, ended.length, room].map(String);
    const call = ['EVALSHA', this.#sha, '0', ...counts, ...adds.map(({ text }) => text), ...ended];
    const answer = (await this.#client.sendCommand(call)) as unknown as string[];
    this.#calls--;
    const claimed = answer.length / 2;
    this.#taken -= room - claimed;
    if (claimed < room) this.#dry = true;
    for (const { resolve } of adds) resolve();
    for (let i = 0; i < claimed; i++) void this.#run(answer[2 * i] as string, answer[2 * i + 1] as string);
    this.#schedule();
  }

  async #run(number: string, body: string): Promise<void> {
    await this.#handler?.(JSON.parse(body));
    this.#ended.push(number);
    this.#schedule();
  }
}

export const open: Open = async ({ redis: port }) => {
  const bare = new Bare(createClient({ url: `redis://127.0.0.1:${port}` }));
  await bare.open();
  return bare;
};
