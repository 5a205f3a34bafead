/** What the front door counts about itself. */
import { Counter, gauge, Histogram, type Metric } from './metrics.ts';
import { type ProblemCode, problemStatus } from './problem.ts';

/** Seconds; a group commit takes a few milliseconds, and 50 ms is what the slowest percent may take. */
const LATENCY_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5];

export class Meter {
  readonly #requests = new Counter('millrace_http_requests_total', 'Requests answered, by status.', 'status');
  readonly #refused = new Counter('millrace_http_refused_total', 'Requests refused, by problem code.', 'code');
  readonly #payloads = new Counter('millrace_http_payloads_total', 'Payloads of accepted collections.', 'result');
  readonly #bytes = new Counter('millrace_http_body_bytes_total', 'Bytes of accepted collections, inflated.', 'result');
  readonly #latency = new Histogram(
    'millrace_http_request_duration_seconds',
    'Time from the end of the request headers to the answer.',
    LATENCY_BOUNDS,
  );

  answered(status: number, seconds: number): void {
    this.#requests.add(status);
    this.#latency.observe(seconds);
  }

  refused(code: ProblemCode): void {
    this.#refused.add(code);
  }

  /** Refused before it was a request. */
  misheard(code: ProblemCode): void {
    this.#requests.add(problemStatus(code));
    this.#refused.add(code);
  }

  /** A repeat under an idempotency key is counted apart: it was accepted before. */
  accepted(result: 'stored' | 'repeated', payloads: number, bytes: number): void {
    this.#payloads.add(result, payloads);
    this.#bytes.add(result, bytes);
  }

  /** Payloads stored since the start. */
  get stored(): number {
    return this.#payloads.of('stored');
  }

  snapshot(connections: number, bytesInFlight: number): Metric[] {
    return [
      this.#requests.metric,
      this.#refused.metric,
      this.#payloads.metric,
      this.#bytes.metric,
      this.#latency.metric,
      gauge('millrace_http_connections', 'Open connections.', connections),
      gauge('millrace_http_bytes_in_flight', 'Bytes of bodies being read or stored.', bytesInFlight),
    ];
  }
}
