/**
 * `POST /payloads`: a collection in, `{"accepted":N}` out once all of it is durable.
 *
 *   headers ──▶ objection? ──▶ body ──▶ split ──▶ add (one group, one commit) ──▶ 200
 *                  │ 4xx 503     │ 4xx     │ 400 422      │ full · away: 503   mismatch: 422
 *                  ▼             ▼         ▼              ▼
 *             nothing of the collection is stored
 *
 * Whatever can be known from the headers is answered before the body is read.
 */
import { hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { AddGroup, AddResult, NewJob } from '../backend/backend.ts';
import { isError } from '../errors.ts';
import { type RateLimit, tokenBucket } from '../pool/limits/rate.ts';
import type { BodyReader } from './body.ts';
import { type CollectionKind, splitCollection } from './collection.ts';
import type { Exchange, Surroundings } from './exchange.ts';
import type { Gate, Refusal } from './gate.ts';
import { ENCODINGS, parseEncoding } from './inflate.ts';
import type { DoorSettings } from './options.ts';
import type { ProblemCode } from './problem.ts';

/** How long an Idempotency-Key is remembered, ms. */
const KEY_TTL = 24 * 60 * 60 * 1000;
/** What a usable key looks like: printable ASCII. */
const usableKey = /^[ -~]{1,255}$/;
/** `return=representation` among the preferences of a Prefer header (RFC 7240). */
const representation = /(^|[,;\s])return\s*=\s*"?representation"?($|[,;\s])/i;
const applied = ['Preference-Applied', 'return=representation'];
const TYPES = 'application/json, application/x-ndjson';

/** Why a request is refused: code, detail, and headers that help. */
type Objection = readonly [ProblemCode, string, (readonly string[])?];

export class Intake {
  readonly #settings: DoorSettings;
  readonly #bodies: BodyReader;
  readonly #gate: Gate;
  readonly #around: Surroundings;
  readonly #rate: RateLimit | undefined;
  readonly #maxPayloads: number;

  constructor(settings: DoorSettings, bodies: BodyReader, gate: Gate, around: Surroundings) {
    this.#settings = settings;
    this.#bodies = bodies;
    this.#gate = gate;
    this.#around = around;
    const { rate, clock } = settings;
    this.#rate = rate === undefined ? undefined : tokenBucket({ limit: rate, clock });
    // A collection larger than the queue could wait for room for ever.
    this.#maxPayloads = Math.min(settings.maxPayloads, settings.maxQueue);
  }

  handle(exchange: Exchange): void {
    const { headers } = exchange.request;
    const objection = this.#unwelcome() ?? this.#unusable(headers);
    if (objection) {
      exchange.refuse(...objection);
      return;
    }
    const kind = collectionKind(headers['content-type']) as CollectionKind;
    const encoding = parseEncoding(headers['content-encoding']) ?? 'identity';
    exchange.proceed();
    this.#bodies.read(exchange.request, encoding, (error, body) => {
      if (error) exchange.refuseFor(error);
      else void this.#store(exchange, kind, body);
    });
  }

  /** What speaks against any request now. */
  #unwelcome(): Objection | undefined {
    if (this.#around.stopping) return ['STOPPING', 'the server is stopping', ['Retry-After', '1']];
    const wait = this.#rate?.take() ?? 0;
    if (wait > 0) {
      const detail = `more than ${this.#settings.rate} requests per second`;
      return ['RATE_EXCEEDED', detail, ['Retry-After', String(Math.ceil(wait / 1000))]];
    }
    const shut = this.#gate.shut;
    if (shut) return this.#turnedAway(shut);
    if (!this.#bodies.hasRoom) return ['BUSY', 'too many bytes are in flight; try again soon', ['Retry-After', '1']];
    return undefined;
  }

  /** What speaks against this one. */
  #unusable(headers: IncomingHttpHeaders): Objection | undefined {
    if (!collectionKind(headers['content-type'])) {
      const got = headers['content-type'] ?? 'none';
      return ['TYPE_UNSUPPORTED', `expected one of ${TYPES} in UTF-8, got ${got}`, ['Accept-Post', TYPES]];
    }
    if (!parseEncoding(headers['content-encoding'])) {
      const detail = `expected one of ${ENCODINGS}, got ${headers['content-encoding']}`;
      return ['ENCODING_UNSUPPORTED', detail, ['Accept-Encoding', ENCODINGS]];
    }
    const key = headers['idempotency-key'];
    if (key !== undefined && !usableKey.test(String(key))) {
      return ['IDEMPOTENCY_KEY_INVALID', 'expected 1 to 255 printable ASCII characters'];
    }
    const { maxLength } = this.#settings;
    if (Number(headers['content-length'] ?? 0) > maxLength) {
      return ['BODY_TOO_LARGE', `the body has ${headers['content-length']} bytes, the limit is ${maxLength}`];
    }
    return undefined;
  }

  async #store(exchange: Exchange, kind: CollectionKind, body: Buffer): Promise<void> {
    try {
      const payloads = splitCollection(body, kind, this.#maxPayloads);
      if (payloads.length === 0) accept(exchange, []);
      else this.#answer(exchange, await this.#settings.add(this.#group(exchange, kind, body, payloads)), body.length);
    } catch (error) {
      if (!exchange.refuseFor(error)) this.#backendAway(exchange, error);
    } finally {
      this.#bodies.release(body);
    }
  }

  #group(exchange: Exchange, kind: CollectionKind, body: Buffer, payloads: Uint8Array[]): AddGroup {
    const { queue, job: name, priority, maxAttempts, maxQueue: maxWaiting } = this.#settings;
    const jobs = payloads.map((payload): NewJob => ({ queue, name, payload, priority, maxAttempts }));
    const key = exchange.request.headers['idempotency-key'];
    if (key === undefined) return { jobs, maxWaiting };
    // Prefixed: a key that a client in this process chose must not meet one that came over HTTP. The kind belongs to the
    // content, because the same bytes are other payloads as NDJSON.
    const fingerprint = `${kind}:${hash('sha256', body, 'base64url')}`;
    return { jobs, maxWaiting, once: { key: `http:${key}`, fingerprint, ttl: KEY_TTL } };
  }

  #answer(exchange: Exchange, result: AddResult, bytes: number): void {
    if (result.status === 'full') {
      this.#gate.full(result);
      exchange.refuse(...this.#turnedAway('QUEUE_FULL'));
    } else if (result.status === 'mismatch') {
      exchange.refuse('IDEMPOTENCY_MISMATCH', 'the key belongs to another body; nothing of this one was stored');
    } else {
      this.#gate.stored();
      this.#around.meter.accepted(result.status, result.ids.length, bytes);
      accept(exchange, result.ids);
    }
  }

  #backendAway(exchange: Exchange, error: unknown): void {
    if (this.#gate.away()) this.#settings.log('warn', 'the backend cannot store payloads', { error });
    const unsure = isError(error, 'BACKEND_UNAVAILABLE') && error.fields.unsure === true;
    exchange.refuse(...this.#turnedAway('BACKEND_AWAY', unsure));
  }

  /** @param unsure whether all of the request may be stored nevertheless */
  #turnedAway(reason: Refusal, unsure = false): Objection {
    const what =
      reason === 'QUEUE_FULL' ? `${this.#settings.maxQueue} payloads may wait` : 'payloads cannot be stored now';
    const effect = unsure
      ? 'this request may have been stored, whole; sent again with the same Idempotency-Key it is stored once'
      : 'nothing of this request was stored';
    return [reason, `${what}; ${effect}`, ['Retry-After', String(this.#gate.advice(reason))]];
  }
}

function accept(exchange: Exchange, ids: readonly string[]): void {
  const { prefer } = exchange.request.headers;
  const full = prefer !== undefined && representation.test(String(prefer));
  if (!full) exchange.json(200, `{"accepted":${ids.length}}`);
  else exchange.json(200, JSON.stringify({ accepted: ids.length, ids }), applied);
}

/** How a body of this content type is split, or undefined when it cannot be. */
function collectionKind(header: string | undefined): CollectionKind | undefined {
  if (header === 'application/json') return 'json';
  if (header === undefined) return undefined;
  const [type = '', ...parameters] = header.toLowerCase().split(';');
  const charset = parameters.map((text) => text.trim()).find((text) => text.startsWith('charset='));
  if (charset !== undefined && !/^charset="?utf-8"?$/.test(charset)) return undefined;
  if (type.trim() === 'application/json') return 'json';
  return type.trim() === 'application/x-ndjson' ? 'ndjson' : undefined;
}
