/**
 * Where a bucket is: from `s3://bucket/prefix`, an endpoint and a region to the host and the path of a request.
 *
 *   s3://logs/2026 in eu-west-1             https://logs.s3.eu-west-1.amazonaws.com   /2026/KEY        virtual host
 *   s3://my.logs in eu-west-1               https://s3.eu-west-1.amazonaws.com        /my.logs/KEY     path
 *   s3://logs at http://127.0.0.1:9000      http://127.0.0.1:9000                     /logs/KEY        path
 *
 * Custom endpoints get the path style, which every compatible store knows; so do buckets with a dot, for which no TLS
 * certificate of the virtual host holds.
 */
import { MillraceError } from '../../errors.ts';
import { assertSafeKey } from '../key.ts';
import { encodePath } from './sigv4.ts';

export interface Location {
  readonly bucket: string;
  /** Scheme, host and port. */
  readonly origin: string;
  /** The Host header. */
  readonly host: string;
  /** What goes before the encoded key. */
  readonly path: string;
  readonly secure: boolean;
}

export interface ParsedUrl {
  readonly bucket: string;
  /** Empty, or ending with a slash. */
  readonly prefix: string;
  readonly region?: string | undefined;
  readonly endpoint?: string | undefined;
}

/** Takes `s3://bucket/prefix?region=…&endpoint=…` apart. Throws OPTION_INVALID. */
export function parseS3Url(url: string): ParsedUrl {
  const refuse = (expected: string) => new MillraceError('OPTION_INVALID', { option: 'sink', expected, got: url });
  const [, bucket = '', path = '', query = ''] = /^s3:\/\/([^/?]*)\/?([^?]*)\??(.*)$/.exec(url) ?? [];
  if (!/^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/i.test(bucket)) throw refuse('s3://BUCKET/PREFIX with a bucket name');
  const prefix = path.replace(/\/+$/, '');
  try {
    if (prefix) assertSafeKey(prefix);
  } catch {
    throw refuse('s3://BUCKET/PREFIX with a plain path as prefix');
  }
  const parameters = new URLSearchParams(query);
  for (const name of parameters.keys()) {
    if (name !== 'region' && name !== 'endpoint') throw new MillraceError('OPTION_UNKNOWN', { option: name });
  }
  const [region, endpoint] = [parameters.get('region') || undefined, parameters.get('endpoint') || undefined];
  return { bucket, prefix: prefix && `${prefix}/`, region, endpoint };
}

/** @param prefix empty, or ending with a slash */
export function locate(bucket: string, prefix: string, region: string, endpoint?: string): Location {
  if (endpoint !== undefined) {
    const { protocol, origin, host, pathname } = parseEndpoint(endpoint);
    const path = `${pathname.replace(/\/$/, '')}/${bucket}/${encodePath(prefix)}`;
    return { bucket, origin, host, path, secure: protocol === 'https:' };
  }
  const domain = `s3.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`;
  const virtual = !bucket.includes('.');
  const host = virtual ? `${bucket}.${domain}` : domain;
  const path = `${virtual ? '' : `/${bucket}`}/${encodePath(prefix)}`;
  return { bucket, origin: `https://${host}`, host, path, secure: true };
}

function parseEndpoint(endpoint: string): URL {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  const plain = url && !url.search && !url.hash && !url.username;
  if (plain && (url.protocol === 'http:' || url.protocol === 'https:')) return url;
  const expected = 'an address such as https://store.example.com:9000';
  throw new MillraceError('OPTION_INVALID', { option: 's3-endpoint', expected, got: endpoint });
}
