/**
 * How our servers look to others: as Resque's workers, or exactly as goworker's.
 *
 *              worker names                       run_at, failed_at          failures         `processed`
 *   resque     <server>:<pid>-<slot>:<queues>     seconds, 2015/01/02 …      class, frames    counts failures too
 *   goworker   <host>:<pid>-<slot>:<queues>       RFC 3339 with fractions    "Error", null    does not
 *
 * THE TRAP OF GOWORKER'S NAMES: a Ruby worker that starts on the same host, for the same queues or for `*`, looks for the process
 * `123-0`, finds none, takes our worker for dead and its job for failed. So by default the host part is the server's id, which
 * is no host, and our workers beat in `workers:heartbeat`, where Ruby sees that they live.
 */
import type { AttemptError, ServerInfo } from '../backend.ts';

export type Manner = 'resque' | 'goworker';

/** What stands before and behind the slot in the names of a server's workers. Ruby cuts them at the colons, in three. */
export function workerNames({ id, host, pid, queues }: ServerInfo, manner: Manner, listed?: string) {
  const place = manner === 'goworker' ? host : id;
  return { head: `${place.replaceAll(':', '-')}:${pid}-`, tail: `:${listed ?? queues.join(',')}` };
}

/** What stands in `failed` for another reason than a failure: see also lua/workers.lua and lua/commands/rescue.lua. */
export const exceptions = { cancelled: 'Millrace::Cancelled', quarantined: 'Millrace::Quarantined' } as const;

/** Exception, message and backtrace as they go into `failed`, each as JSON. */
export function failureOf(error: AttemptError, manner: Manner): readonly [string, string, string] {
  const message = JSON.stringify(error.message);
  if (manner === 'goworker') return ['"Error"', message, 'null'];
  const frames = (error.stack ?? '').split('\n').flatMap((line) => /^\s+at (.*)$/.exec(line)?.[1] ?? []);
  return [JSON.stringify(nameOf(error)), message, JSON.stringify(frames)];
}

/** What stands in place of the class of the exception: a stack begins with it. */
function nameOf({ stack, code }: AttemptError): string {
  return /^([\w$.]+)(?: \[.*?\])?(?::|$)/m.exec(stack?.split('\n', 1)[0] ?? '')?.[1] ?? code ?? 'Error';
}
