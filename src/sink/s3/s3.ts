/**
 * S3, and every store that speaks its language: `s3://bucket/prefix`.
 *
 *   put ──▶ credentials ──▶ headers + checksum ──▶ signature ──▶ one PUT ──▶ stored · later · never (answer.ts)
 *                 ▲                                                │
 *                 └── once: credentials expired, clock off ◀───────┘
 *
 * Promises: one request per put, except once after our own credentials ran out or our own clock was found wrong.
 * Retries belong to the gate and the job, which see why a put failed. Bodies have a Content-Length; a store that took a
 * damaged body would have to overlook both the length and the checksum.
 *
 * On plain HTTP the signature covers the body's SHA-256; on HTTPS, which protects it anyway, UNSIGNED-PAYLOAD and the
 * checksum save that hash. Costs: measured about 100 µs of CPU per 1 KiB put, most of it the socket.
 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Clock } from '../../clock.ts';
import { systemClock } from '../../clock.ts';
import { isError, MillraceError, toError } from '../../errors.ts';
import { assertSafeKey } from '../key.ts';
import type { Sink, SinkObject } from '../sink.ts';
import { errorCode, expiredCodes, failure, header } from './answer.ts';
import { CredentialCache, defaultProvider } from './credentials.ts';
import type { CredentialProvider, Credentials, Environment } from './identity.ts';
import { type Location, locate, type ParsedUrl, parseS3Url } from './location.ts';
import { defaultRegion } from './profile.ts';
import { encodePath, encodeQuery, Signer, sha256, UNSIGNED_PAYLOAD } from './sigv4.ts';
import { type Answer, type Timeouts, Transport } from './transport.ts';

export type Checksum = 'crc32' | 'md5' | 'none';

export interface S3Options {
  /** Address of a compatible store. Default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, else Amazon's. */
  readonly endpoint?: string | undefined;
  /** Default: the URL's, AWS_REGION, AWS_DEFAULT_REGION, the profile's; with an endpoint `us-east-1`. */
  readonly region?: string | undefined;
  /** What the store checks the body against. Default `crc32`. `md5` for stores that ignore CRC32. */
  readonly checksum?: Checksum;
  /** Encryption at rest: `AES256`, `aws:kms` with the default key, or `{ kmsKeyId }`. Default: the bucket's. */
  readonly sse?: 'AES256' | 'aws:kms' | { readonly kmsKeyId: string } | undefined;
  /** Such as `STANDARD_IA`. Default: the store's. */
  readonly storageClass?: string | undefined;
  /** At most 10. */
  readonly tags?: Readonly<Record<string, string>>;
  /** Default: environment, profile, container, instance; see credentials.ts. */
  readonly credentials?: Credentials | CredentialProvider | undefined;
  /** Most connections at once. Default 256. */
  readonly connections?: number;
  readonly timeouts?: Timeouts;
  readonly environment?: Environment;
  readonly clock?: Clock;
}

export class S3Sink implements Sink {
  readonly name: string;
  readonly #url: ParsedUrl;
  readonly #options: S3Options;
  readonly #clock: Clock;
  readonly #environment: Environment;
  readonly #credentials: CredentialCache;
  readonly #fixedHeaders: Readonly<Record<string, string>>;
  readonly #checksum: (body: Uint8Array) => Record<string, string>;
  #opened: { transport: Transport; signer: Signer; location: Location } | undefined;
  /** Store's clock minus ours, in ms, once it complained. */
  #skew = 0;

  /** Throws OPTION_INVALID. Reads and connects nothing before `open`. */
  constructor(url: string, options: S3Options = {}) {
    this.#url = parseS3Url(url);
    this.name = `s3://${this.#url.bucket}/${this.#url.prefix}`;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#environment = options.environment ?? process.env;
    const { credentials } = options;
    const provider = typeof credentials === 'object' ? async () => credentials : credentials;
    this.#credentials = new CredentialCache(provider ?? defaultProvider(this.#environment), this.#clock);
    this.#fixedHeaders = fixedHeaders(options);
    this.#checksum = checksums[options.checksum ?? 'crc32'];
    if (!this.#checksum) throw invalid('checksum', 'crc32, md5 or none', options.checksum);
  }

  /**
   * Finds region and credentials and loads undici. Throws OPTION_INVALID, CREDENTIALS_MISSING or PEER_MISSING. Sends
   * nothing to the store: one that is away at the start is no reason not to start.
   */
  async open(): Promise<void> {
    const { bucket, prefix } = this.#url;
    const environment = this.#environment;
    const fromEnvironment = environment.AWS_ENDPOINT_URL_S3 || environment.AWS_ENDPOINT_URL || undefined;
    const endpoint = this.#options.endpoint ?? this.#url.endpoint ?? fromEnvironment;
    const known = this.#options.region ?? this.#url.region ?? (await defaultRegion(environment));
    const region = known ?? (endpoint ? 'us-east-1' : undefined);
    if (!region || !/^[\w-]+$/.test(region)) {
      throw invalid('region', 'an AWS region (option, ?region= in the URL, AWS_REGION or profile)', known);
    }
    const location = locate(bucket, prefix, region, endpoint);
    await this.#credentials.get().catch((error) => {
      if (!isError(error, 'SINK_AWAY')) throw error;
    });
    const { connections, timeouts } = this.#options;
    const transport = await Transport.open(location.origin, connections, timeouts, this.#clock);
    this.#opened = { transport, signer: new Signer(region), location };
  }

  async put(object: SinkObject, signal?: AbortSignal): Promise<void> {
    assertSafeKey(object.key);
    let credentials = this.#credentials.fresh ?? (await this.#currentCredentials());
    let answer = await this.#send(object, credentials, signal);
    if (isSuccess(answer)) return;

    const code = errorCode(answer);
    if (expiredCodes.has(code)) {
      credentials = await this.#currentCredentials(credentials);
      answer = await this.#send(object, credentials, signal);
    } else if (code === 'RequestTimeTooSkewed' && this.#correctClock(answer)) {
      answer = await this.#send(object, credentials, signal);
    }
    if (!isSuccess(answer)) throw failure(object.key, answer, this.#clock.now());
  }

  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    await opened?.transport.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #send(object: SinkObject, credentials: Credentials, signal?: AbortSignal): Promise<Answer> {
    if (!this.#opened) throw new MillraceError('NOT_RUNNING', { what: this.name, state: 'not open' });
    const { transport, signer, location } = this.#opened;
    const { key, body, contentType, contentEncoding } = object;
    const headers: Record<string, string> = {
      ...this.#fixedHeaders,
      host: location.host,
      'content-type': contentType,
      ...this.#checksum(body),
    };
    if (contentEncoding) headers['content-encoding'] = contentEncoding;
    const path = location.path + encodePath(key);
    // Without a checksum only the signature vouches for the body.
    const unsigned = location.secure && this.#options.checksum !== 'none';
    const payloadHash = unsigned ? UNSIGNED_PAYLOAD : sha256(body);
    const time = this.#clock.now() + this.#skew;
    const signed = signer.sign({ method: 'PUT', path, headers, payloadHash, time }, credentials);
    return transport.send({ method: 'PUT', path, headers: signed, body }, signal);
  }

  /** Waiting may bring credentials back, so whatever stands in the way is SINK_AWAY. */
  async #currentCredentials(stale?: Credentials): Promise<Credentials> {
    try {
      return await (stale ? this.#credentials.replace(stale) : this.#credentials.get());
    } catch (error) {
      if (isError(error, 'SINK_AWAY')) throw error;
      throw new MillraceError('SINK_AWAY', { trouble: 'blocked', reason: toError(error).message }, { cause: error });
    }
  }

  /** Takes the time from the answer's Date header; from then on we sign with the store's clock. */
  #correctClock(answer: Answer): boolean {
    const theirs = Date.parse(header(answer, 'date') ?? '');
    if (Number.isNaN(theirs)) return false;
    this.#skew = theirs - this.#clock.now();
    return true;
  }
}

function isSuccess(answer: Answer): boolean {
  return answer.status >= 200 && answer.status < 300;
}

const checksums: Readonly<Record<Checksum, (body: Uint8Array) => Record<string, string>>> = {
  crc32(body) {
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeUInt32BE(crc32(body));
    return { 'x-amz-checksum-crc32': bytes.toString('base64') };
  },
  md5: (body) => ({ 'content-md5': createHash('md5').update(body).digest('base64') }),
  none: () => ({}),
};

function fixedHeaders({ sse, storageClass, tags }: S3Options): Record<string, string> {
  const headers: Record<string, string> = {};
  if (sse !== undefined) {
    const kmsKeyId = typeof sse === 'object' ? sse.kmsKeyId : undefined;
    if (sse !== 'AES256' && sse !== 'aws:kms' && !kmsKeyId)
      throw invalid('sse', 'AES256, aws:kms or { kmsKeyId }', sse);
    headers['x-amz-server-side-encryption'] = kmsKeyId ? 'aws:kms' : (sse as string);
    if (kmsKeyId) headers['x-amz-server-side-encryption-aws-kms-key-id'] = kmsKeyId;
  }
  if (storageClass !== undefined) {
    if (!/^[A-Z][A-Z0-9_]*$/.test(storageClass)) throw invalid('storageClass', 'such as STANDARD_IA', storageClass);
    headers['x-amz-storage-class'] = storageClass;
  }
  if (tags !== undefined && Object.keys(tags).length > 0) {
    if (Object.keys(tags).length > 10) throw invalid('tags', 'at most 10', Object.keys(tags).length);
    headers['x-amz-tagging'] = encodeQuery(tags);
  }
  return headers;
}

function invalid(option: string, expected: string, got: unknown): MillraceError {
  return new MillraceError('OPTION_INVALID', { option, expected, got });
}
