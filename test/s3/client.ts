/**
 * What the sink does not need and its tests do: making buckets, reading and listing objects, with the sink's own signer.
 */
import { encodePath, encodeQuery, Signer, type SigningIdentity, sha256 } from '../../src/sink/s3/sigv4.ts';

export class S3TestClient {
  readonly #endpoint: string;
  readonly #identity: SigningIdentity;
  readonly #signer = new Signer('us-east-1');

  constructor(endpoint: string, identity: SigningIdentity) {
    this.#endpoint = endpoint;
    this.#identity = identity;
  }

  async send(
    method: string,
    path: string,
    options: { query?: Record<string, string>; headers?: Record<string, string>; body?: string; time?: number } = {},
  ): Promise<Response> {
    const { body = '' } = options;
    const query = encodeQuery(options.query ?? {});
    const host = new URL(this.#endpoint).host;
    const request = {
      method,
      path: encodePath(path),
      query,
      payloadHash: sha256(body),
      time: options.time ?? Date.now(),
    };
    const headers = this.#signer.sign({ ...request, headers: { host, ...options.headers } }, this.#identity);
    const url = `${this.#endpoint}${request.path}${query && `?${query}`}`;
    return fetch(url, { method, headers, ...(method === 'GET' || method === 'HEAD' ? {} : { body }) });
  }

  async makeBucket(bucket: string): Promise<void> {
    const answer = await this.send('PUT', `/${bucket}`);
    if (!answer.ok) throw new Error(`bucket ${bucket}: ${answer.status} ${await answer.text()}`);
  }

  async get(bucket: string, key: string): Promise<Uint8Array> {
    const answer = await this.send('GET', `/${bucket}/${key}`);
    if (!answer.ok) throw new Error(`${key}: ${answer.status} ${await answer.text()}`);
    return new Uint8Array(await answer.arrayBuffer());
  }

  /** Every key under the prefix, page by page. */
  async list(bucket: string, prefix = ''): Promise<string[]> {
    const keys: string[] = [];
    for (let token: string | undefined; ; ) {
      const more: Record<string, string> = token === undefined ? {} : { 'continuation-token': token };
      const answer = await this.send('GET', `/${bucket}`, { query: { 'list-type': '2', prefix, ...more } });
      const xml = await answer.text();
      if (!answer.ok) throw new Error(`list: ${answer.status} ${xml}`);
      for (const [, key = ''] of xml.matchAll(/<Key>([^<]*)<\/Key>/g)) keys.push(unescapeXml(key));
      token = /<NextContinuationToken>([^<]*)</.exec(xml)?.[1];
      if (token === undefined) return keys;
      token = unescapeXml(token);
    }
  }
}

function unescapeXml(text: string): string {
  const named: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
  return text.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (_, decimal, hex, name) =>
    name ? (named[name] ?? '') : String.fromCodePoint(decimal ? Number(decimal) : Number.parseInt(hex, 16)),
  );
}
