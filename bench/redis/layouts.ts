/**
 * Where should a job's body lie in Redis? The smallest scripts that add, claim and settle, for each answer, and what Redis
 * pays for them: the measurement that the backend's keys were decided by.
 *
 *   node bench/redis/layouts.ts                       every layout, with 10,000 and 1,000,000 jobs waiting
 *   node bench/redis/layouts.ts hash pages            some of them
 *   node bench/redis/layouts.ts --waiting 10000       one length of the line
 *
 *   hash        bodies in a hash by number; the line is a list of numbers
 *   arguments   the same, each job an argument and each answer a reply of its own, instead of one msgpack buffer each way
 *   list        bodies in the line itself, moved to the hash of the running jobs by the claim
 *   pages       bodies in lists of 256 in order of arrival; the line is a list of numbers
 *   blobs       the bodies of a call in one string that Lua never looks into; the line is a list of numbers
 *
 *   …-per-server   the running jobs of each server are a hash of their own, so that no set has to say which they are
 *   …-scattered    the same, and neighbours in the line are not neighbours in the store, as with priorities and keys
 *
 * A call has 500 jobs of 220 bytes, two lanes of calls are under way. Redis CPU is what the server says it used; another
 * program on the same core still makes it dearer by some percent, and the rates by much more. `appendonly yes`, `everysec`.
 *
 * A hash doubles at powers of two: with 1,000,000 waiting the 200,000 that are added push it over 2^20, and the figures have
 * that in them. With 600,000 they do not.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createClient, RESP_TYPES } from 'redis';
import { decode, encode } from '../../src/backend/redis/msgpack.ts';
import { Meter } from '../jobs/meter.ts';
import { startRedis } from '../jobs/redis.ts';
import { type Column, figure, formatTable, whole } from '../table.ts';

const BATCH = 500;
const LANES = 2;
/** Jobs that are measured, at any length of the line. */
const JOBS = 200_000;
const BODY = 220;

interface Layout {
  readonly add: string;
  readonly claim: string;
  readonly settle: string;
  /** Each job an argument, each answer a reply. */
  readonly plain?: boolean;
  /** A call's bodies are one string. */
  readonly blob?: boolean;
}

/** What an add was given. */
const unpacked = `
  local bodies = cmsgpack.unpack(ARGV[1])
  local count = #bodies`;

const numbers = `
  local first = redis.call('INCRBY', '{q}n', count) - count
  local line, format = {}, string.format
  for i = 1, count do line[i] = format('%d', first + i) end
  redis.call('RPUSH', '{q}line', unpack(line))`;

/** What the line has first, as the Lua variable of that name. */
const take = (name: string) => `
  local status, most = unpack(cmsgpack.unpack(ARGV[1]))
  local ${name} = redis.call('LPOP', '{q}line', most)
  if not ${name} then return cmsgpack.pack({}) end`;

/** \`n\`: numbers, \`given\`: what is theirs in the hash of running jobs. */
const start = `
  redis.call('HSET', '{q}running', unpack(given))
  redis.call('SADD', '{q}server', unpack(n))`;

/** What every layout checks before it lets a job go: that it still is this server's, by this claim. */
const check = (statusOf: string) => `
  local n = cmsgpack.unpack(ARGV[1])
  local status = table.remove(n)
  local held = redis.call('HMGET', '{q}running', unpack(n))
  local gone = {}
  for i = 1, #n do if held[i] and ${statusOf} == status then gone[#gone + 1] = n[i] end end
  if #gone == 0 then return cmsgpack.pack({}) end
  redis.call('HDEL', '{q}running', unpack(gone))
  redis.call('SREM', '{q}server', unpack(gone))`;

const hash: Layout = {
  add: `
    ${unpacked}
    ${numbers}
    local pairs = {}
    for i = 1, count do pairs[2 * i - 1] = line[i]; pairs[2 * i] = bodies[i] end
    redis.call('HSET', '{q}bodies', unpack(pairs))
    return cmsgpack.pack({format('%d', first)})`,
  claim: `
    ${take('n')}
    local bodies = redis.call('HMGET', '{q}bodies', unpack(n))
    local given, answer = {}, {}
    for i = 1, #n do
      given[2 * i - 1] = n[i]; given[2 * i] = status
      answer[2 * i - 1] = n[i]; answer[2 * i] = bodies[i]
    end
    ${start}
    return cmsgpack.pack(answer)`,
  settle: `
    ${check('held[i]')}
    redis.call('HDEL', '{q}bodies', unpack(gone))
    return cmsgpack.pack(gone)`,
};

const plain: Layout = {
  plain: true,
  add: hash.add.replace('cmsgpack.unpack(ARGV[1])', 'ARGV').replace(/cmsgpack.pack\((.*)\)/, '$1'),
  claim: hash.claim
    .replace('unpack(cmsgpack.unpack(ARGV[1]))', 'ARGV[1], ARGV[2]')
    .replaceAll(/cmsgpack.pack\((.*)\)/g, '$1'),
  settle: hash.settle.replace('cmsgpack.unpack(ARGV[1])', 'ARGV').replaceAll(/cmsgpack.pack\((.*)\)/g, '$1'),
};

/** A number is eight bytes before the body, and the field's name while the job runs. */
const list: Layout = {
  add: `
    ${unpacked}
    local first = redis.call('INCRBY', '{q}n', count) - count
    for i = 1, count do bodies[i] = struct.pack('>I8', first + i) .. bodies[i] end
    redis.call('RPUSH', '{q}line', unpack(bodies))
    return cmsgpack.pack({string.format('%d', first)})`,
  claim: `
    ${take('bodies')}
    local given, answer, n = {}, {}, {}
    for i = 1, #bodies do
      n[i] = string.sub(bodies[i], 1, 8)
      given[2 * i - 1] = n[i]; given[2 * i] = status .. bodies[i]
      answer[2 * i - 1] = n[i]; answer[2 * i] = bodies[i]
    end
    ${start}
    return cmsgpack.pack(answer)`,
  settle: `
    ${check('string.sub(held[i], 1, #status)')}
    return cmsgpack.pack(gone)`,
};

/** Bodies that one claim takes lie side by side, so a range brings them. A page goes when all of it is done. */
const pages: Layout = {
  add: `
    ${unpacked}
    ${numbers}
    local i = 1
    while i <= count do
      local page, at = math.floor((first + i) / 256), (first + i) % 256
      local last = math.min(count, i + 255 - at)
      redis.call('RPUSH', '{q}page:' .. page, unpack(bodies, i, last))
      i = last + 1
    end
    return cmsgpack.pack({format('%d', first)})`,
  claim: `
    ${take('n')}
    local given, answer, i, count = {}, {}, 1, #n
    while i <= count do
      local from = tonumber(n[i])
      local page, at, run = math.floor(from / 256), from % 256, 1
      while i + run <= count and at + run < 256 and tonumber(n[i + run]) == from + run do run = run + 1 end
      -- Numbers begin at 1, so the first page has no place 0.
      local shift = page == 0 and 1 or 0
      local bodies = redis.call('LRANGE', '{q}page:' .. page, at - shift, at + run - 1 - shift)
      for j = 0, run - 1 do
        given[2 * (i + j) - 1] = n[i + j]; given[2 * (i + j)] = status
        answer[2 * (i + j) - 1] = n[i + j]; answer[2 * (i + j)] = bodies[j + 1]
      end
      i = i + run
    end
    ${start}
    return cmsgpack.pack(answer)`,
  settle: `
    ${check('held[i]')}
    local done = {}
    for i = 1, #gone do
      local page = math.floor(tonumber(gone[i]) / 256)
      done[page] = (done[page] or 0) + 1
    end
    for page, count in pairs(done) do
      if redis.call('HINCRBY', '{q}done', page, count) >= (page == 0 and 255 or 256) then
        redis.call('DEL', '{q}page:' .. page)
        redis.call('HDEL', '{q}done', page)
      end
    end
    return cmsgpack.pack(gone)`,
};

/** The floor: bodies of one length, added and claimed in the same calls, and nothing could be found or changed in them. */
const blobs: Layout = {
  blob: true,
  add: `
    local count = tonumber(ARGV[1])
    ${numbers}
    redis.call('SET', '{q}blob:' .. first, ARGV[2])
    return cmsgpack.pack({format('%d', first)})`,
  claim: `
    ${take('n')}
    local given = {}
    for i = 1, #n do given[2 * i - 1] = n[i]; given[2 * i] = status end
    ${start}
    local answer = {redis.call('GET', '{q}blob:' .. (tonumber(n[1]) - 1))}
    for i = 1, #n do answer[i + 1] = n[i] end
    return cmsgpack.pack(answer)`,
  settle: `
    ${check('held[i]')}
    redis.call('DEL', '{q}blob:' .. (tonumber(gone[1]) - 1))
    return cmsgpack.pack(gone)`,
};

const perServer = (layout: Layout): Layout => ({
  ...layout,
  claim: layout.claim.replace(/redis.call\('SADD'.*/, ''),
  settle: layout.settle.replace(/redis.call\('SREM'.*/, ''),
});

const scattered = (layout: Layout): Layout => ({
  ...layout,
  add: layout.add.replace(
    'unpack(line))',
    '(function() local mixed = {}; for i = 1, count do mixed[i] = line[1 + i * 7 % count] end; return unpack(mixed) end)())',
  ),
});

const layouts: Readonly<Record<string, Layout>> = {
  hash,
  'hash-per-server': perServer(hash),
  arguments: plain,
  list,
  'list-per-server': perServer(list),
  pages,
  'pages-per-server': perServer(pages),
  blobs,
  'hash-scattered': scattered(perServer(hash)),
  'pages-scattered': scattered(perServer(pages)),
};
const STATUS = 'server-1:17';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { waiting: { type: 'string' } } });
const lengths = values.waiting?.split(',').map(Number) ?? [10_000, 1_000_000];

type Row = Readonly<Record<string, number>>;
const shown = (title: string, name: string, format = figure): Column<Row> => [
  title,
  (row) => format(row[name] ?? Number.NaN),
];
const columns: Column<Row>[] = [
  shown('add µs', 'add'),
  shown('claim + settle µs', 'work'),
  shown('cycle µs', 'cycle'),
  shown('bytes per waiting job', 'bytes', whole),
  shown('adds/s', 'adds', whole),
  shown('claims + settles/s', 'works', whole),
  shown('client add µs', 'clientAdd'),
  shown('client claim + settle µs', 'clientWork'),
];

for (const waiting of lengths) {
  const rows = new Map<string, Row>();
  for (const name of positionals.length > 0 ? positionals : Object.keys(layouts)) {
    const layout = layouts[name];
    if (!layout) throw new Error(`no layout "${name}"; there are: ${Object.keys(layouts).join(', ')}`);
    rows.set(name, await measure(layout, waiting));
  }
  console.log(
    `\n${whole(waiting)} waiting; µs are CPU per job, of Redis unless the client's\n\n${formatTable(columns, rows)}`,
  );
}

async function measure(layout: Layout, waiting: number): Promise<Row> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-layouts-'));
  const server = await startRedis(folder);
  const client = await createClient({ url: `redis://127.0.0.1:${server.port}` }).connect();
  const meter = await Meter.open(server.port);
  const raw = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  try {
    // Its forks would fall into some runs and not into others.
    await client.configSet('auto-aof-rewrite-percentage', '0');
    const sha = {
      add: await client.scriptLoad(layout.add),
      claim: await client.scriptLoad(layout.claim),
      settle: await client.scriptLoad(layout.settle),
    };
    const call = async (script: keyof typeof sha, items: (Buffer | string)[]): Promise<Buffer[]> => {
      if (layout.blob && script === 'add') {
        await raw.sendCommand(['EVALSHA', sha.add, '0', String(items.length), Buffer.concat(items as Buffer[])]);
        return [];
      }
      if (!layout.plain)
        return decode(
          (await raw.sendCommand(['EVALSHA', sha[script], '0', encode(items) as Buffer])) as unknown as Buffer,
        ) as Buffer[];
      return (await raw.sendCommand(['EVALSHA', sha[script], '0', ...items])) as unknown as Buffer[];
    };
    const bodies = Array.from({ length: BATCH }, (_, i) =>
      Buffer.alloc(BODY, `{"number":"${i}","kind":"welcome letter"}`),
    );
    const lanes = (jobs: number, once: () => Promise<void>) => {
      let left = jobs / BATCH;
      const lane = async () => {
        while (left-- > 0) await once();
      };
      return Promise.all(Array.from({ length: LANES }, lane));
    };
    const add = async () => void (await call('add', bodies));
    const work = async () => {
      const taken = await call('claim', [STATUS, String(BATCH)]);
      const held = layout.blob ? taken.slice(1) : taken.filter((_, i) => i % 2 === 0);
      if (held.length !== BATCH) throw new Error(`claimed ${held.length}`);
      const gone = await call('settle', [...held, STATUS]);
      if (gone.length !== BATCH) throw new Error(`settled ${gone.length}`);
    };
    const timed = async (once: () => Promise<void>) => {
      const [redis, own, at] = [await meter.usage(), process.cpuUsage(), performance.now()];
      await lanes(JOBS, once);
      const ms = performance.now() - at;
      const { user, system } = process.cpuUsage(own);
      return {
        redis: ((await meter.usage()).cpu - redis.cpu) / JOBS,
        own: (user + system) / JOBS,
        rate: (JOBS / ms) * 1000,
      };
    };
    const empty = await meter.usage();
    await lanes(waiting, add);
    const bytes = ((await meter.usage()).memory - empty.memory) / waiting;
    const added = await timed(add);
    const worked = await timed(work);
    return {
      add: added.redis,
      work: worked.redis,
      cycle: added.redis + worked.redis,
      bytes,
      adds: added.rate,
      works: worked.rate,
      clientAdd: added.own,
      clientWork: worked.own,
    };
  } finally {
    client.destroy();
    meter.close();
    await server.stop();
    rmSync(folder, { recursive: true });
  }
}
