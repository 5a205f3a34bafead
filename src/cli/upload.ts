/**
 * The job that carries payloads to the sink: one object each, or many in one object.
 *
 * The gate decides when an object may go and waits out a store that is away, so an attempt is only ever spent on an
 * object that the store refused for good; that one is discarded with the store's reason and can be retried.
 */

import { isError } from '../errors.ts';
import { discard } from '../job/control.ts';
import { type BatchItem, defineJob, type JobDefinition } from '../job/job.ts';
import { type Compression, encodeBatch } from '../sink/batch.ts';
import type { KeyOf } from '../sink/key.ts';
import type { SinkObject } from '../sink/sink.ts';

/** The queue and the name of payload jobs. */
export const PAYLOADS = 'payloads';

export interface UploadOptions {
  /** Stores one object, waiting for its turn. */
  readonly put: (object: SinkObject, signal: AbortSignal) => Promise<void>;
  readonly keyOf: KeyOf;
  readonly compression: Compression;
  /** Payloads per object; 1 makes an object of each payload's own bytes. */
  readonly batch: number;
  /** How long a part-filled batch waits for more, ms. */
  readonly batchWait: number;
}

/** A batch handler also for single payloads: it never decodes what it only carries. */
export function uploadJob(options: UploadOptions): JobDefinition {
  const { put, keyOf, compression, batch, batchWait } = options;
  const contentType = batch === 1 ? 'application/json' : 'application/x-ndjson';
  const encoding = compression === 'none' ? {} : { contentEncoding: compression };
  return defineJob({
    name: PAYLOADS,
    queue: PAYLOADS,
    batch: {
      size: batch,
      wait: batchWait,
      async run(items, signal) {
        const [first] = items as [BatchItem<unknown>];
        const body =
          batch === 1 && compression === 'none'
            ? first.job.bytes
            : await encodeBatch(
                items.map((item) => item.job.bytes),
                compression,
              );
        try {
          // The key is that of the first job, so the same work done again overwrites the same object.
          await put({ key: keyOf(first.job), body, contentType, ...encoding }, signal);
        } catch (error) {
          const forGood = isError(error, 'SINK_REFUSED') || isError(error, 'SINK_KEY_INVALID');
          throw forGood ? discard(error.message, error) : error;
        }
      },
    },
  });
}
