/**
 * From a URL to a sink: `file:DIR` or `s3://BUCKET/PREFIX`. S3's room, and undici with it, is loaded only when asked for.
 */
import { MillraceError } from '../errors.ts';
import { FileSink, type FileSinkOptions } from './file.ts';
import type { S3Options } from './s3/s3.ts';
import type { Sink } from './sink.ts';

export interface SinkOptions {
  readonly file?: FileSinkOptions;
  readonly s3?: S3Options;
}

/**
 * Makes and opens the sink that `url` names.
 * Throws SINK_UNKNOWN, OPTION_INVALID, and what the sink's `open` throws; nothing is left open then.
 */
export async function openSink(url: string, options: SinkOptions = {}): Promise<Sink> {
  const sink = await makeSink(url, options);
  try {
    await sink.open();
    return sink;
  } catch (error) {
    await sink.close();
    throw error;
  }
}

async function makeSink(url: string, options: SinkOptions): Promise<Sink> {
  if (url.startsWith('file:')) return new FileSink(folderOf(url), options.file);
  if (url.startsWith('s3://')) {
    const { S3Sink } = await import('./s3/s3.ts');
    return new S3Sink(url, options.s3);
  }
  throw new MillraceError('SINK_UNKNOWN', { url });
}

/** `file:objects`, `file:./objects` and `file:/srv/objects` are paths as they stand; `file:///srv/objects` is one too. */
function folderOf(url: string): string {
  const path = url.slice('file:'.length);
  return path.startsWith('//') ? path.replace(/^\/\/(?:localhost)?(?=\/)/, '') : path;
}
