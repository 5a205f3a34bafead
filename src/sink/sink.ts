/**
 * Where payloads go: the contract of a sink.
 *
 * A sink stores one object under one key and resolves when it is safe there. It never retries on its own and never
 * hides why it failed; `gate.ts` decides when to send, and the job decides whether to send again. Storing the same key
 * again overwrites it, so a repeat is harmless.
 */

export interface SinkObject {
  /** Slash-separated, relative, made from the key template. Checked by `assertSafeKey`. */
  readonly key: string;
  readonly body: Uint8Array;
  /** `application/json`, `application/x-ndjson`, … */
  readonly contentType: string;
  /** How `body` is compressed, if it is. */
  readonly contentEncoding?: 'gzip' | 'zstd';
}

export interface Sink extends AsyncDisposable {
  /** For messages and logs, without secrets: `s3://bucket/prefix`. */
  readonly name: string;
  /** Makes what the sink needs (a folder, a connection pool, credentials). Throws when it can never work. */
  open(): Promise<void>;
  /**
   * Stores one object. Rejects with
   * SINK_REFUSED or SINK_KEY_INVALID when the same request can never succeed (the job is discarded, with the error),
   * SINK_AWAY when the store cannot take it now (throttled, 5xx, connection trouble, no permission, no such bucket,
   * full disk: all that somebody can mend; `retryAfter` in ms when the store said when), or the signal's reason.
   * A sink in doubt says SINK_AWAY: waiting loses nothing.
   */
  put(object: SinkObject, signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}
