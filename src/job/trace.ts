/**
 * Trace context across jobs, as in the W3C Recommendation of that name: headers `traceparent` and `tracestate`.
 *
 *   const trace = traceContext();
 *   new Client({ backend, middleware: [trace.enqueue] });
 *   new JobServer({ backend, jobs, middleware: [trace.perform] });
 *
 *   await withTrace(request.headers, () => client.enqueue(mail, …));   // goes on with the trace of a request
 *   currentTrace()?.traceId                                             // in the job's body: the same trace
 *
 * A job that is enqueued within a trace runs in that trace, with a span id of its own; each attempt has a new one. A job
 * without one, or with one that is malformed, begins a new trace. Makes no spans and sends nothing anywhere: it hands
 * the identifiers on.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomBytes } from 'node:crypto';
import type { Carried, Carry } from './carry.ts';

export interface Trace {
  /** 32 lower-case hex digits. */
  readonly traceId: string;
  /** Of what runs now: 16 lower-case hex digits. */
  readonly spanId: string;
  /** Of what caused it; undefined at the begin of a trace. */
  readonly parentId: string | undefined;
  /** Somebody records this trace. */
  readonly isSampled: boolean;
  /** What vendors have said, handed on as it came. */
  readonly state: string | undefined;
  /** All of it, for a header of a call to somebody else. */
  readonly traceparent: string;
}

const traces = new AsyncLocalStorage<Trace>();

/** That of the job or request which this code runs for. */
export function currentTrace(): Trace | undefined {
  return traces.getStore();
}

/** Runs something in the trace of these headers, as a new span; in a new trace if they have none that is well-formed. */
export function withTrace<T>(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
  run: () => T,
): T {
  return traces.run(continued(textOf(headers.traceparent, ''), textOf(headers.tracestate, ',')), run);
}

/** A pair of middlewares that carries the current trace with each job. */
export function traceContext(): Carry {
  return {
    enqueue: (draft, next) => {
      const trace = currentTrace();
      if (trace) {
        draft.headers.traceparent = trace.traceparent;
        if (trace.state !== undefined) draft.headers.tracestate = trace.state;
        else delete draft.headers.tracestate;
      }
      return next();
    },
    perform: ({ headers }: Carried, next) => withTrace(headers, next),
  };
}

/**
 * version - trace id - parent id - flags. Version `ff` is forbidden, so are ids of zeros. A version above 00 may have
 * more behind another dash; what is there is not for us, and what is known is read as in version 00.
 */
const TRACEPARENT = /^(?!ff)([\da-f]{2})-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(-.*)?$/;

function continued(traceparent: string, tracestate: string): Trace {
  const [, version, traceId, parentId, flags = '00', more] = TRACEPARENT.exec(traceparent.trim()) ?? [];
  if (traceId === undefined || (version === '00' && more !== undefined)) return began();
  // Of the flags only the lowest means anything to this version, and unknown ones must not be handed on.
  const isSampled = (Number.parseInt(flags, 16) & 1) === 1;
  return trace(traceId, parentId, isSampled, isTracestate(tracestate) ? tracestate : undefined);
}

/** Nobody is known to record it. */
function began(): Trace {
  return trace(randomId(16), undefined, false, undefined);
}

function trace(traceId: string, parentId: string | undefined, isSampled: boolean, state: string | undefined): Trace {
  const spanId = randomId(8);
  return {
    traceId,
    spanId,
    parentId,
    isSampled,
    state,
    traceparent: `00-${traceId}-${spanId}-${isSampled ? '01' : '00'}`,
  };
}

/** Not all zeros: that is no id. */
function randomId(bytes: number): string {
  for (;;) {
    const id = randomBytes(bytes).toString('hex');
    if (/[^0]/.test(id)) return id;
  }
}

/** `tenant@system` or one word, `=`, printable ASCII without `,` and `=` that does not end in a space. */
const MEMBER =
  /^(?:[a-z][a-z\d_\-*/]{0,255}|[a-z\d][a-z\d_\-*/]{0,240}@[a-z][a-z\d_\-*/]{0,13})=[ -+\--<>-~]{0,255}[!-+\--<>-~]$/;

/** At most 32 members, no key twice; empty members are allowed. A list that is not well-formed is dropped whole. */
function isTracestate(text: string): boolean {
  const members = text.split(',').flatMap((member) => member.replace(/^[ \t]+|[ \t]+$/g, '') || []);
  if (members.length === 0 || members.length > 32 || !members.every((member) => MEMBER.test(member))) return false;
  return new Set(members.map((member) => member.slice(0, member.indexOf('=')))).size === members.length;
}

/** A header that came several times: a `tracestate` is one list then, a `traceparent` is none. */
function textOf(header: string | readonly string[] | undefined, separator: string): string {
  if (header === undefined || typeof header === 'string') return header ?? '';
  return separator === '' && header.length > 1 ? '' : header.join(separator);
}
