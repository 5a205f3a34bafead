/**
 * A small S3 that checks what clients really get wrong, and fails on purpose.
 *
 *   const store = await startFakeS3();
 *   store.fault = aboveKnee(16);                          // 503 SlowDown beyond 16 requests at once
 *   store.fault = (request) => (request.nth === 3 ? { kind: 'lostAnswer' } : undefined);
 *   await store.close();
 *
 * It verifies the signature, the clock, the hash of the body, CRC32, MD5 and If-None-Match, and answers PUT, GET, HEAD,
 * DELETE and ListObjectsV2, path style or virtual host. Objects are in memory; `puts` counts every stored PUT by key,
 * so "exactly once" can be told from "at least once". Buckets exist when they are named in the options.
 */
import { createHash } from 'node:crypto';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type Identity, type Received, rawPath, verifyBody, verifySignature } from './verify.ts';

/** What the store does instead of its work. */
export type Fault =
  /** Answers an S3 error. `retryAfter` in seconds. */
  | { readonly kind: 'error'; readonly status: number; readonly code: string; readonly retryAfter?: number | string }
  /** Breaks the connection before anything is stored. */
  | { readonly kind: 'reset' }
  /** Takes the request and never answers. */
  | { readonly kind: 'stall' }
  /** Stores the object, then breaks the connection: the client cannot know. */
  | { readonly kind: 'lostAnswer' }
  /** Sends the head of an answer and half of its body, then nothing. */
  | { readonly kind: 'halfAnswer' };

export interface FakeRequest {
  readonly method: string;
  readonly bucket: string;
  /** Decoded. */
  readonly key: string;
  readonly headers: IncomingHttpHeaders;
  /** Requests under way, this one included. */
  readonly inFlight: number;
  /** 1 for the first request since the start. */
  readonly nth: number;
}

export interface StoredObject {
  readonly size: number;
  readonly etag: string;
  readonly headers: IncomingHttpHeaders;
  /** Empty when the store keeps sizes only. */
  readonly body: Buffer;
}

export interface FakeS3Options {
  /** Buckets that exist. Default `['bucket']`. */
  readonly buckets?: readonly string[];
  /** By access key id. Default: `AKIDEXAMPLE` with the secret `SECRET`. */
  readonly identities?: ReadonlyMap<string, Identity>;
  readonly region?: string;
  /** False keeps keys, sizes and headers, and forgets the bodies. Default true. */
  readonly keepBodies?: boolean;
  /** Called with every object that was stored. */
  readonly onPut?: (key: string, body: Buffer, headers: IncomingHttpHeaders) => void;
  /** Key and certificate make it an https server. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** False trusts every signature, to measure clients at the server's full speed. Default true. */
  readonly verify?: boolean;
}

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: string | Buffer;
  /** Of the error. */
  readonly code?: string;
}

export const fakeCredentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'SECRET' } as const;

export class FakeS3 implements AsyncDisposable {
  /** What befalls a request; asked when its head has arrived. */
  fault: (request: FakeRequest) => Fault | undefined = () => undefined;
  /** Milliseconds that every answer takes. */
  latency = 0;
  /** Added to this machine's clock, in ms. */
  clockOffset = 0;
  /** bucket/key → object */
  readonly objects = new Map<string, StoredObject>();
  /** bucket/key → how often it was stored */
  readonly puts = new Map<string, number>();
  /** HTTP status and error code → how often it was answered: `503 SlowDown` */
  readonly answers = new Map<string, number>();
  requests = 0;
  inFlight = 0;
  maxInFlight = 0;
  readonly #server: Server;
  readonly #options: FakeS3Options;
  readonly #identities: ReadonlyMap<string, Identity>;
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(options: FakeS3Options = {}) {
    this.#options = options;
    this.#identities = options.identities ?? new Map([[fakeCredentials.accessKeyId, fakeCredentials]]);
    const listener = (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, response);
    this.#server = options.tls ? createTlsServer(options.tls, listener) : createServer(listener);
  }

  async listen(port = 0): Promise<this> {
    this.#server.listen(port, '127.0.0.1');
    await new Promise((resolve, reject) => this.#server.once('listening', resolve).once('error', reject));
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** For the sink's `endpoint` option. */
  get endpoint(): string {
    return `${this.#options.tls ? 'https' : 'http'}://127.0.0.1:${this.port}`;
  }

  /** Stored PUTs, repeats included. */
  get stored(): number {
    let sum = 0;
    for (const count of this.puts.values()) sum += count;
    return sum;
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    this.inFlight++;
    this.maxInFlight = Math.max(this.maxInFlight, this.inFlight);
    response.once('close', () => this.inFlight--);
    const { method = '', url = '', headers } = message;
    const { inFlight } = this;
    const request: FakeRequest = { method, ...this.#locate(url, headers), headers, inFlight, nth: ++this.requests };
    const fault = this.fault(request);
    if (fault?.kind === 'reset') {
      message.socket.destroy();
      return;
    }
    const body = await readBody(message);
    if (body === undefined || fault?.kind === 'stall') return;
    if (fault?.kind === 'error') {
      this.#send(response, refusal(fault));
      return;
    }
    if (this.latency > 0) await this.#wait(this.latency);
    if (fault?.kind === 'halfAnswer') {
      response.writeHead(503, { 'content-length': 100 }).write('<Error>');
      return;
    }
    const answer = this.#answer(request, { method, url, headers, body });
    if (fault?.kind === 'lostAnswer') message.socket.destroy();
    else this.#send(response, answer);
  }

  #answer(request: FakeRequest, received: Received): Answer {
    const complaint = this.#options.verify === false ? undefined : this.#complaint(received);
    if (complaint) return refusal(complaint);
    const { method, bucket, key } = request;
    if (!(this.#options.buckets ?? ['bucket']).includes(bucket)) return refusal(noSuch('Bucket'));

    const path = `${bucket}/${key}`;
    const object = this.objects.get(path);
    switch (`${method} ${key ? 'object' : 'bucket'}`) {
      case 'PUT object':
        if (Buffer.byteLength(key) > 1024) return refusal({ status: 400, code: 'KeyTooLongError' });
        if (request.headers['if-none-match'] === '*' && object) {
          return refusal({ status: 412, code: 'PreconditionFailed' });
        }
        return { status: 200, headers: { etag: this.#store(path, received) } };
      case 'DELETE object':
        this.objects.delete(path);
        return { status: 204 };
      case 'GET object':
      case 'HEAD object': {
        if (!object) return refusal(noSuch('Key'));
        const type = object.headers['content-type'] ?? 'binary/octet-stream';
        const headers = { etag: object.etag, 'content-type': type, 'content-length': object.size };
        return { status: 200, headers, body: object.body };
      }
      case 'HEAD bucket':
        return { status: 200 };
      case 'GET bucket':
        return { status: 200, headers: { 'content-type': 'application/xml' }, body: this.#list(bucket, received.url) };
      default:
        return refusal({ status: 405, code: 'MethodNotAllowed' });
    }
  }

  #complaint(received: Received) {
    const now = Date.now() + this.clockOffset;
    const region = this.#options.region ?? 'us-east-1';
    const secure = this.#options.tls !== undefined;
    return verifySignature(received, this.#identities, region, now) ?? verifyBody(received, secure);
  }

  #store(path: string, { body, headers }: Received): string {
    const etag = `"${createHash('md5').update(body).digest('hex')}"`;
    const kept = this.#options.keepBodies === false ? Buffer.alloc(0) : body;
    this.objects.set(path, { size: body.length, etag, headers, body: kept });
    this.puts.set(path, (this.puts.get(path) ?? 0) + 1);
    this.#options.onPut?.(path.slice(path.indexOf('/') + 1), body, headers);
    return etag;
  }

  #list(bucket: string, url: string): string {
    const query = new URL(url, this.endpoint).searchParams;
    const prefix = query.get('prefix') ?? '';
    const after = query.get('continuation-token') ?? query.get('start-after') ?? '';
    const most = Math.min(Number(query.get('max-keys') ?? 1000), 1000);
    const keys = [...this.objects.keys()]
      .filter((path) => path.startsWith(`${bucket}/${prefix}`))
      .map((path) => path.slice(bucket.length + 1))
      .filter((key) => key > after)
      .sort();
    const page = keys.slice(0, most);
    const more = keys.length > page.length;
    const contents = page.map((key) => {
      const { size = 0, etag = '' } = this.objects.get(`${bucket}/${key}`) ?? {};
      return `<Contents><Key>${escapeXml(key)}</Key><Size>${size}</Size><ETag>${escapeXml(etag)}</ETag></Contents>`;
    });
    const next = more ? `<NextContinuationToken>${escapeXml(page.at(-1) ?? '')}</NextContinuationToken>` : '';
    return `<?xml version="1.0"?><ListBucketResult><Name>${bucket}</Name><KeyCount>${page.length}</KeyCount><IsTruncated>${more}</IsTruncated>${next}${contents.join('')}</ListBucketResult>`;
  }

  /** Bucket and key, from `/bucket/key` or from `bucket.host`. */
  #locate(url: string, headers: IncomingHttpHeaders): { bucket: string; key: string } {
    const path = decodeURIComponent(rawPath(url)).slice(1);
    const [host = ''] = (headers.host ?? '').split(':');
    const virtual = (this.#options.buckets ?? ['bucket']).find((bucket) => host.startsWith(`${bucket}.`));
    if (virtual) return { bucket: virtual, key: path };
    const slash = path.indexOf('/');
    return slash < 0 ? { bucket: path, key: '' } : { bucket: path.slice(0, slash), key: path.slice(slash + 1) };
  }

  #send(response: ServerResponse, { status, headers = {}, body = '', code = '' }: Answer): void {
    const label = `${status} ${code}`.trim();
    this.answers.set(label, (this.answers.get(label) ?? 0) + 1);
    const date = new Date(Date.now() + this.clockOffset).toUTCString();
    const length = status === 204 ? {} : { 'content-length': Buffer.byteLength(body) };
    response.writeHead(status, { date, ...length, ...headers }).end(body);
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        resolve();
      }, ms);
      this.#timers.add(timer);
    });
  }
}

/** Starts one on a free port of 127.0.0.1. */
export function startFakeS3(options: FakeS3Options = {}): Promise<FakeS3> {
  return new FakeS3(options).listen();
}

export const slowDown = (retryAfter?: number): Fault => ({
  kind: 'error',
  status: 503,
  code: 'SlowDown',
  ...(retryAfter === undefined ? {} : { retryAfter }),
});

/** SlowDown for what exceeds `knee` requests at once. */
export const aboveKnee = (knee: number) => (request: FakeRequest) => (request.inFlight > knee ? slowDown() : undefined);

/** The same fault for the first `count` requests from now. */
export function times(count: number, fault: Fault): () => Fault | undefined {
  let left = count;
  return () => (left-- > 0 ? fault : undefined);
}

function refusal(error: { status: number; code: string; retryAfter?: number | string }): Answer {
  const { status, code, retryAfter } = error;
  const headers = {
    'content-type': 'application/xml',
    ...(retryAfter !== undefined && { 'retry-after': `${retryAfter}` }),
  };
  const message = `${code} on purpose`;
  return { status, code, headers, body: `<Error><Code>${code}</Code><Message>${message}</Message></Error>` };
}

const noSuch = (what: 'Bucket' | 'Key') => ({ status: 404, code: `NoSuch${what}` });

/** Undefined when the client went away before the end. */
async function readBody(message: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of message) chunks.push(chunk as Buffer);
  } catch {
    return undefined;
  }
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
}

function escapeXml(text: string): string {
  return text.replace(/[<>&"]/g, (char) => `&#${char.charCodeAt(0)};`);
}
