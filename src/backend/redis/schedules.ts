/** Schedules as the scripts keep them: what the client computes with is readable there, the job is not. */
import type { Schedule, ScheduleRecord } from '../schedule.ts';
import { decode, encode, type Received } from './msgpack.ts';
import type { Request } from './shard.ts';

export function packSchedule({ key, rule, job, nextAt }: Schedule): Request {
  const { payload, ...rest } = job;
  const at = nextAt === undefined ? undefined : Math.ceil(nextAt);
  return { key, rule, job: encode([payload, JSON.stringify(rest)]), nextAt: at };
}

export function toSchedule(key: Buffer, packed: Buffer): ScheduleRecord {
  const { rule, job, nextAt, fired, lastAt } = decode(packed) as Record<string, Received>;
  const [payload, rest] = decode(job as Buffer) as [Buffer, Buffer];
  return {
    key: String(key),
    rule: String(rule),
    job: { ...(JSON.parse(String(rest)) as Omit<ScheduleRecord['job'], 'payload'>), payload },
    nextAt: nextAt === undefined ? undefined : (nextAt as number),
    fired: fired as number,
    ...(lastAt !== undefined && { lastAt: lastAt as number }),
  };
}
