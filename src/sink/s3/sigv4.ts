/**
 * AWS Signature Version 4, the header form, as S3 wants it.
 *
 *   canonical request ──sha256──▶ string to sign ──hmac(signing key)──▶ Authorization
 *   signing key = hmac(hmac(hmac(hmac("AWS4" + secret, day), region), service), "aws4_request")
 *
 * Source: "Authenticating Requests (AWS Signature Version 4)" in the S3 API reference; the tests hold its published
 * examples. Every header given is signed. `path` and `query` are taken as they go over the wire: encode them with
 * `encodePath` and `encodeQuery`, or the store will compute something else.
 *
 * Costs: one SHA-256 and one HMAC of a few hundred bytes per request; the signing key is made once per day and secret.
 */
import { createHash, createHmac } from 'node:crypto';

export interface SigningIdentity {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

export interface Signable {
  readonly method: string;
  /** Encoded, beginning with a slash. */
  readonly path: string;
  /** Encoded and sorted, without the question mark. */
  readonly query?: string;
  /** Lower-case names, `host` among them. Values without leading, trailing or doubled spaces. */
  readonly headers: Readonly<Record<string, string>>;
  /** Lower-case hex SHA-256 of the body, or `UNSIGNED-PAYLOAD`. */
  readonly payloadHash: string;
  /** Milliseconds since the epoch, as the store's clock sees it. */
  readonly time: number;
}

export const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD';

export class Signer {
  readonly #region: string;
  readonly #service: string;
  #key: { id: string; bytes: Buffer } = { id: '', bytes: Buffer.alloc(0) };
  #stamp = { second: Number.NaN, text: '' };

  constructor(region: string, service = 's3') {
    this.#region = region;
    this.#service = service;
  }

  /** The headers given plus `x-amz-date`, `x-amz-content-sha256`, the session token and `authorization`. */
  sign(request: Signable, identity: SigningIdentity): Record<string, string> {
    const stamp = this.#timestamp(request.time);
    const day = stamp.slice(0, 8);
    const headers: Record<string, string> = { ...request.headers, 'x-amz-date': stamp };
    headers['x-amz-content-sha256'] = request.payloadHash;
    if (identity.sessionToken) headers['x-amz-security-token'] = identity.sessionToken;

    const names = Object.keys(headers).sort();
    const signedHeaders = names.join(';');
    let canonical = `${request.method}\n${request.path}\n${request.query ?? ''}\n`;
    for (const name of names) canonical += `${name}:${headers[name]}\n`;
    canonical += `\n${signedHeaders}\n${request.payloadHash}`;

    const scope = `${day}/${this.#region}/${this.#service}/aws4_request`;
    const toSign = `AWS4-HMAC-SHA256\n${stamp}\n${scope}\n${sha256(canonical)}`;
    const signature = createHmac('sha256', this.#signingKey(day, identity.secretAccessKey))
      .update(toSign)
      .digest('hex');
    headers.authorization = `AWS4-HMAC-SHA256 Credential=${identity.accessKeyId}/${scope},SignedHeaders=${signedHeaders},Signature=${signature}`;
    return headers;
  }

  #signingKey(day: string, secret: string): Buffer {
    const id = `${day}/${secret}`;
    if (this.#key.id !== id) this.#key = { id, bytes: deriveSigningKey(secret, day, this.#region, this.#service) };
    return this.#key.bytes;
  }

  /** `20130524T000000Z`; thousands of requests share one second. */
  #timestamp(time: number): string {
    const second = Math.floor(time / 1000);
    if (this.#stamp.second !== second) {
      const text = new Date(second * 1000).toISOString().replace(/[-:]|\.\d{3}/g, '');
      this.#stamp = { second, text };
    }
    return this.#stamp.text;
  }
}

export function deriveSigningKey(secret: string, day: string, region: string, service: string): Buffer {
  const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest();
  return hmac(hmac(hmac(hmac(`AWS4${secret}`, day), region), service), 'aws4_request');
}

/** Lower-case hex. */
export function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/** Encodes everything but RFC 3986's unreserved characters, as SigV4 demands; `encodeURIComponent` leaves five more. */
export function encodeComponent(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** An object key as a path: encoded once, its slashes kept, nothing normalised. */
export function encodePath(key: string): string {
  return /^[\w./~-]*$/.test(key) ? key : key.split('/').map(encodeComponent).join('/');
}

/** A canonical query string: encoded, and sorted by its encoded names. */
export function encodeQuery(parameters: Readonly<Record<string, string>>): string {
  return Object.entries(parameters)
    .map(([name, value]) => `${encodeComponent(name)}=${encodeComponent(value)}`)
    .sort()
    .join('&');
}
