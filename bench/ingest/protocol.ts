/** What the programs of this bench tell each other. */

/** Outcome of a request, a byte each in the load's `--outcomes` file. UNKNOWN: sent, and the answer never came. */
export const NOT_SENT = 0;
export const ACCEPTED = 1;
export const REFUSED = 2;
export const UNKNOWN = 3;

/** The last line that the load prints. */
export interface LoadResult {
  /** Requests answered in the measured time, and that time in seconds. */
  readonly answered: number;
  readonly seconds: number;
  /** Requests answered with each status in the measured time. */
  readonly statuses: Readonly<Record<string, number>>;
  /** 200s per second. */
  readonly acceptedPerSecond: number;
  /** Of all answers, ms. */
  readonly latency: { readonly p50: number; readonly p99: number; readonly max: number };
  /** All requests sent, and all 200s, those of the warm-up included. */
  readonly sent: number;
  readonly accepted: number;
  /** Connections that broke. */
  readonly broken: number;
  /** CPU of the load per request, µs. */
  readonly cpu: number;
}

/** The lines before it, one a second. */
export interface LoadProgress {
  /** Seconds since the start. */
  readonly t: number;
  /** Requests answered 200 so far. */
  readonly accepted: number;
}

/** `GET /-/stats` of the sink. */
export interface SinkStats {
  readonly puts: number;
  readonly slowDowns: number;
  readonly objects: number;
  /** Payloads in the objects, each counted once. */
  readonly payloads: number;
  readonly bytes: number;
}

/** `GET /stats` of the article's handlers, ours and Go's. A kill now loses `accepted - uploaded` payloads. */
export interface AttemptStats {
  readonly accepted: number;
  readonly uploaded: number;
  /** Uploads or goroutines under way. */
  readonly tasks: number;
}
