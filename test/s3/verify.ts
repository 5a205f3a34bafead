/**
 * The store's side of SigV4 and of the body checks, written apart from the signer in src/, so that a mistake there is
 * not made twice. Works from the request as it arrived: the path is decoded and encoded again before it is signed,
 * and only headers that the client named are taken.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { crc32 } from 'node:zlib';

export interface Identity {
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** Answers ExpiredToken. */
  readonly expired?: boolean;
}

export interface Received {
  readonly method: string;
  /** As it came over the wire, with the query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** What S3 would answer: status and error code. */
export interface Complaint {
  readonly status: number;
  readonly code: string;
}

const complaint = (status: number, code: string): Complaint => ({ status, code });
const FIFTEEN_MINUTES = 15 * 60_000;

/** Undefined when the signature holds. */
export function verifySignature(
  request: Received,
  identities: ReadonlyMap<string, Identity>,
  region: string,
  now: number,
): Complaint | undefined {
  const { authorization = '' } = request.headers;
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
      authorization,
    );
  if (!match) return authorization ? complaint(400, 'AuthorizationHeaderMalformed') : complaint(403, 'AccessDenied');
  const [, id = '', day = '', scopeRegion = '', signedHeaders = '', signature = ''] = match;
  if (scopeRegion !== region) return complaint(400, 'AuthorizationHeaderMalformed');
  const identity = identities.get(id);
  if (!identity) return complaint(403, 'InvalidAccessKeyId');

  const stamp = header(request, 'x-amz-date');
  const time = Date.parse(stamp.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));
  if (Number.isNaN(time) || !stamp.startsWith(day)) return complaint(403, 'AccessDenied');
  if (Math.abs(time - now) > FIFTEEN_MINUTES) return complaint(403, 'RequestTimeTooSkewed');

  const names = signedHeaders.split(';');
  const unsigned = Object.keys(request.headers).filter((name) => name.startsWith('x-amz-') && !names.includes(name));
  if (!names.includes('host') || unsigned.length > 0) return complaint(403, 'AccessDenied');

  const url = new URL(request.url, 'http://store');
  const canonical = [
    request.method,
    rawPath(request.url).split('/').map(decodeURIComponent).map(encode).join('/'),
    [...url.searchParams]
      .map(([name, value]) => `${encode(name)}=${encode(value)}`)
      .sort()
      .join('&'),
    ...names.map((name) => `${name}:${header(request, name).trim().replace(/ +/g, ' ')}`),
    '',
    signedHeaders,
    header(request, 'x-amz-content-sha256'),
  ].join('\n');
  const scope = `${day}/${scopeRegion}/s3/aws4_request`;
  const toSign = ['AWS4-HMAC-SHA256', stamp, scope, createHash('sha256').update(canonical).digest('hex')].join('\n');
  let key: string | Buffer = `AWS4${identity.secretAccessKey}`;
  for (const part of [...scope.split('/'), toSign]) key = createHmac('sha256', key).update(part).digest();
  if (!timingSafeEqual(key as Buffer, Buffer.from(signature, 'hex'))) return complaint(403, 'SignatureDoesNotMatch');

  if (identity.expired) return complaint(400, 'ExpiredToken');
  if ((identity.sessionToken ?? '') !== header(request, 'x-amz-security-token')) return complaint(400, 'InvalidToken');
  return undefined;
}

/** Undefined when length, SHA-256, CRC32 and MD5 are what the headers promised. `secure`: sent over TLS. */
export function verifyBody({ headers, body }: Received, secure = false): Complaint | undefined {
  const sha256 = headers['x-amz-content-sha256'];
  if (sha256 === undefined) return complaint(400, 'MissingSecurityHeader');
  if (String(sha256).startsWith('STREAMING-')) return complaint(501, 'NotImplemented');
  if (sha256 === 'UNSIGNED-PAYLOAD') {
    // Over plain HTTP nothing would vouch for the body.
    if (!secure && body.length > 0 && !headers['x-amz-checksum-crc32']) return complaint(400, 'InvalidRequest');
  } else if (sha256 !== createHash('sha256').update(body).digest('hex')) {
    return complaint(400, 'XAmzContentSHA256Mismatch');
  }
  const md5 = headers['content-md5'];
  if (md5 !== undefined && md5 !== createHash('md5').update(body).digest('base64')) return complaint(400, 'BadDigest');
  const crc = headers['x-amz-checksum-crc32'];
  if (crc !== undefined) {
    const own = Buffer.alloc(4);
    own.writeUInt32BE(crc32(body));
    if (crc !== own.toString('base64')) return complaint(400, 'BadDigest');
  }
  return undefined;
}

export function rawPath(url: string): string {
  return url.split('?', 1)[0] ?? url;
}

function header(request: Received, name: string): string {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(',') : (value ?? '');
}

function encode(text: string): string {
  return [...Buffer.from(text)]
    .map((byte) => {
      const char = String.fromCharCode(byte);
      return /[A-Za-z0-9._~-]/.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
}
