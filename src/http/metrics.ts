/**
 * Numbers for a monitoring system, in Prometheus' text exposition format 0.0.4.
 *
 *   # HELP millrace_http_requests_total Requests answered, by status.
 *   # TYPE millrace_http_requests_total counter
 *   millrace_http_requests_total{status="200"} 17
 *
 * A `Metric` is a snapshot and knows no source, so any room can describe its own. Counting costs an addition; text is
 * made only when somebody asks.
 */

export interface Sample {
  readonly value: number;
  readonly labels?: Readonly<Record<string, string>>;
  /** Appended to the metric's name: `_bucket`, `_sum`, `_count`. */
  readonly suffix?: string;
}

export interface Metric {
  /** Letters, digits and underscores; counters end in `_total`, and the unit is part of the name. */
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly samples: readonly Sample[];
}

export const EXPOSITION_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** The text of all metrics, each name once; samples of a repeated name join the first. */
export function exposition(metrics: Iterable<Metric>): string {
  const families = new Map<string, string[]>();
  for (const { name, help, type, samples } of metrics) {
    let lines = families.get(name);
    if (!lines) {
      lines = [`# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`, `# TYPE ${name} ${type}`];
      families.set(name, lines);
    }
    for (const sample of samples)
      lines.push(`${name}${sample.suffix ?? ''}${labelText(sample.labels)} ${number(sample.value)}`);
  }
  return [...families.values()].map((lines) => `${lines.join('\n')}\n`).join('');
}

/** A metric with one value. */
export function gauge(name: string, help: string, value: number): Metric {
  return { name, help, type: 'gauge', samples: [{ value }] };
}

/** Counts, told apart by the values of one label. The values must come from a small set: each is kept for good. */
export class Counter {
  readonly #name: string;
  readonly #help: string;
  readonly #label: string;
  readonly #counts = new Map<string | number, number>();

  constructor(name: string, help: string, label: string) {
    this.#name = name;
    this.#help = help;
    this.#label = label;
  }

  add(value: string | number, n = 1): void {
    this.#counts.set(value, this.of(value) + n);
  }

  /** What was counted for this value of the label. */
  of(value: string | number): number {
    return this.#counts.get(value) ?? 0;
  }

  get metric(): Metric {
    const samples = [...this.#counts].map(([label, value]) => ({ labels: { [this.#label]: String(label) }, value }));
    return { name: this.#name, help: this.#help, type: 'counter', samples };
  }
}

/** How often a value fell under each bound. */
export class Histogram {
  readonly #name: string;
  readonly #help: string;
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  /** @param bounds upper bounds, ascending; one without bound is added */
  constructor(name: string, help: string, bounds: readonly number[]) {
    this.#name = name;
    this.#help = help;
    this.#bounds = bounds;
    this.#counts = new Array(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    let bucket = 0;
    while (bucket < this.#bounds.length && value > (this.#bounds[bucket] as number)) bucket++;
    (this.#counts[bucket] as number)++;
    this.#sum += value;
  }

  get metric(): Metric {
    let below = 0;
    const buckets = this.#counts.map((count, i) => {
      below += count;
      const le = this.#bounds[i] === undefined ? '+Inf' : String(this.#bounds[i]);
      return { suffix: '_bucket', labels: { le }, value: below };
    });
    const totals = [
      { suffix: '_sum', value: this.#sum },
      { suffix: '_count', value: below },
    ];
    return { name: this.#name, help: this.#help, type: 'histogram', samples: [...buckets, ...totals] };
  }
}

function labelText(labels: Sample['labels']): string {
  if (!labels) return '';
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${escaped(value)}"`);
  return pairs.length > 0 ? `{${pairs.join(',')}}` : '';
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function number(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (Number.isFinite(value)) return String(value);
  return value > 0 ? '+Inf' : '-Inf';
}
