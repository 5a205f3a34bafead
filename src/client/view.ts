/**
 * A job as a person or a program looks at it: the record, with payload, result and progress decoded when they are read.
 *
 * It is what was so when it was asked for; look again to see what has changed.
 */
import type { AttemptError, LogLine } from '../backend/backend.ts';
import type { JobRecord } from '../backend/records.ts';
import { type Codec, decodePayload } from '../job/codec.ts';
import type { JobState } from '../job/state.ts';

export class JobView<Payload = unknown, Result = unknown> {
  /** As the backend gave it: bytes, and absent where there is nothing. */
  readonly record: JobRecord;
  readonly #codec: Codec;

  constructor(record: JobRecord, codec: Codec) {
    this.record = record;
    this.#codec = codec;
  }

  get id(): string {
    return this.record.id;
  }
  get queue(): string {
    return this.record.queue;
  }
  get name(): string {
    return this.record.name;
  }
  get state(): JobState {
    return this.record.state;
  }
  get priority(): number {
    return this.record.priority;
  }
  /** The run under way, or else the next or the last one; 1 for the first. */
  get attempt(): number {
    return this.record.attempt;
  }
  get maxAttempts(): number {
    return this.record.maxAttempts;
  }
  /** How often a server died while it held the job. */
  get crashes(): number {
    return this.record.crashes;
  }
  /** Ms since the epoch, as all times here. */
  get addedAt(): number {
    return this.record.addedAt;
  }
  get runAt(): number {
    return this.record.runAt;
  }
  get startedAt(): number | undefined {
    return this.record.startedAt;
  }
  get endedAt(): number | undefined {
    return this.record.endedAt;
  }
  get server(): string | undefined {
    return this.record.server;
  }
  get key(): string | undefined {
    return this.record.key;
  }
  get tags(): readonly string[] {
    return this.record.tags ?? [];
  }
  get headers(): Readonly<Record<string, string>> {
    return this.record.headers ?? {};
  }
  /** One per attempt that failed, oldest first. */
  get errors(): readonly AttemptError[] {
    return this.record.errors;
  }
  get log(): readonly LogLine[] {
    return this.record.log ?? [];
  }

  /** Throws CODEC_MISMATCH when another codec wrote it, and what the codec throws. Decoded anew at each reading. */
  get payload(): Payload {
    return decodePayload(this.record, this.#codec) as Payload;
  }
  /** Undefined while there is none, and when the handler returned nothing. */
  get result(): Result | undefined {
    const { result } = this.record;
    return result && (this.#codec.decode(result) as Result);
  }
  /** What the job said last; undefined while it has said nothing. */
  get progress(): unknown {
    const { progress } = this.record;
    return progress === undefined ? undefined : JSON.parse(progress);
  }
}
