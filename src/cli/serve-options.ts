/** The flags of `millrace serve`, and what they mean when they are read together. */
import type { Clock } from '../clock.ts';
import { assertOption } from '../errors.ts';
import { DEFAULT_KEY_TEMPLATE } from '../sink/key.ts';
import type { S3Options } from '../sink/s3/s3.ts';
import { choice, duration, integer, list, optionalText, readFlags, text, toggle, type Values } from './flags.ts';

export const backendFlag = text({
  value: 'URL',
  env: 'MILLRACE_BACKEND',
  help: 'where jobs wait: memory:, sqlite:PATH or redis://HOST',
  default: 'sqlite:./millrace-data/jobs.db',
});

export const serveFlags = {
  port: integer({ value: 'N', env: 'PORT', help: 'port; 0 picks a free one', min: 0, max: 65_535, default: 8080 }),
  host: text({ value: 'HOST', env: 'HOST', help: 'address to listen on', default: '127.0.0.1' }),
  backend: backendFlag,
  sink: text({
    value: 'URL',
    env: 'MILLRACE_SINK',
    help: 'where payloads go: file:DIR or s3://BUCKET/PREFIX',
    default: 'file:./millrace-data/objects',
  }),
  'max-workers': integer({
    value: 'N',
    env: 'MAX_WORKERS',
    help: 'most uploads at once; the store may be given fewer',
    min: 1,
    max: 10_000,
    default: undefined,
    defaultText: '64, or 8 with --batch',
  }),
  'max-queue': integer({
    value: 'N',
    env: 'MAX_QUEUE',
    help: 'most waiting payloads; then the door answers 503',
    min: 1,
    default: 1_000_000,
  }),
  'max-length': integer({
    value: 'BYTES',
    env: 'MAX_LENGTH',
    help: 'largest request body, after decompression',
    min: 1,
    max: 512 * 1024 * 1024,
    default: 1024 * 1024,
  }),
  rate: integer({
    value: 'N',
    env: 'MAX_RATE',
    help: 'most requests a second of each process; then the door answers 429',
    min: 1,
    default: undefined,
    defaultText: 'no limit',
  }),
  token: list({ value: 'TOKEN,…', env: 'MILLRACE_TOKEN', help: 'ask for one of these bearer tokens' }),
  insecure: toggle({ env: 'MILLRACE_INSECURE', help: 'allow an address other than loopback without a token' }),
  batch: integer({
    value: 'N',
    env: 'MILLRACE_BATCH',
    help: 'payloads per object, as NDJSON; 1 makes an object of each',
    min: 1,
    max: 100_000,
    default: 1,
  }),
  'batch-wait': duration({
    value: 'TIME',
    env: 'MILLRACE_BATCH_WAIT',
    help: 'how long a part-filled batch waits',
    default: 1000,
    defaultText: '1s',
  }),
  compress: choice({
    value: 'HOW',
    env: 'MILLRACE_COMPRESS',
    help: 'none, gzip or zstd',
    choices: ['none', 'gzip', 'zstd'],
    default: undefined,
    defaultText: 'none, or gzip with --batch',
  }),
  key: optionalText({
    value: 'TEMPLATE',
    env: 'MILLRACE_KEY',
    help: 'object keys, from {queue} {name} {id} {yyyy} {MM} {dd} {HH} {mm}',
    defaultText: DEFAULT_KEY_TEMPLATE,
  }),
  's3-endpoint': optionalText({
    value: 'URL',
    env: 'MILLRACE_S3_ENDPOINT',
    help: 'an S3-compatible store; addressed by path',
  }),
  's3-region': optionalText({ value: 'REGION', env: 'AWS_REGION', help: 'region', defaultText: "the profile's" }),
  's3-checksum': choice({
    value: 'HOW',
    env: 'MILLRACE_S3_CHECKSUM',
    help: 'crc32, md5 or none',
    choices: ['crc32', 'md5', 'none'],
    default: 'crc32',
  }),
  's3-sse': optionalText({ value: 'HOW', env: 'MILLRACE_S3_SSE', help: 'AES256, aws:kms or aws:kms:KEY-ID' }),
  's3-storage-class': optionalText({ value: 'CLASS', env: 'MILLRACE_S3_STORAGE_CLASS', help: 'storage class' }),
  's3-tags': list({ value: 'K=V,…', env: 'MILLRACE_S3_TAGS', help: 'object tags' }),
  processes: integer({
    value: 'N',
    env: 'MILLRACE_PROCESSES',
    help: 'processes that share the port and the backend',
    min: 1,
    max: 256,
    default: 1,
  }),
  'no-workers': toggle({ env: 'MILLRACE_NO_WORKERS', help: 'only the door' }),
  'no-door': toggle({ env: 'MILLRACE_NO_DOOR', help: 'only the workers' }),
  'stop-deadline': duration({
    value: 'TIME',
    env: 'MILLRACE_STOP_DEADLINE',
    help: 'how long a stop waits for uploads that run',
    default: 25_000,
    defaultText: '25s',
  }),
} as const;

export type ServeOptions = Values<typeof serveFlags> & {
  readonly 'max-workers': number;
  readonly compress: 'none' | 'gzip' | 'zstd';
  readonly key: string;
};

/** Throws OPTION_INVALID for values that do not go together. */
export function readServeOptions(args: readonly string[], env: NodeJS.ProcessEnv): ServeOptions {
  const options = readFlags(serveFlags, args, env);
  const { batch, processes, backend } = options;
  assertOption('--no-door', true, !(options['no-door'] && options['no-workers']), 'given without --no-workers');
  const shared = processes === 1 || !backend.startsWith('memory:');
  assertOption('--processes', processes, shared, 'given with a backend that processes can share, such as sqlite:PATH');
  const compress = options.compress ?? (batch > 1 ? 'gzip' : 'none');
  const suffix = { none: '', gzip: '.gz', zstd: '.zst' }[compress];
  const extension = `${batch > 1 ? 'ndjson' : 'json'}${suffix}`;
  return {
    ...options,
    compress,
    'max-workers': options['max-workers'] ?? (batch > 1 ? 8 : 64),
    key: options.key ?? DEFAULT_KEY_TEMPLATE.replace(/json$/, extension),
  };
}

/** The options of an S3 sink. Throws OPTION_INVALID for a tag that is not `K=V`. */
export function s3Options(options: ServeOptions, clock: Clock): S3Options {
  const sse = options['s3-sse'];
  const [, kmsKeyId] = /^aws:kms:(.+)$/.exec(sse ?? '') ?? [];
  assertOption(
    '--s3-sse',
    sse,
    !sse || sse === 'AES256' || sse.startsWith('aws:kms'),
    'AES256, aws:kms or aws:kms:KEY-ID',
  );
  const tags = options['s3-tags'].map((tag) => {
    const [key = '', ...value] = tag.split('=');
    assertOption('--s3-tags', tag, key !== '' && value.length > 0, 'K=V');
    return [key, value.join('=')] as const;
  });
  return {
    endpoint: options['s3-endpoint'],
    region: options['s3-region'],
    checksum: options['s3-checksum'],
    sse: kmsKeyId ? { kmsKeyId } : (sse as 'AES256' | 'aws:kms' | undefined),
    storageClass: options['s3-storage-class'],
    tags: Object.fromEntries(tags),
    connections: Math.max(256, options['max-workers']),
    clock,
  };
}
