import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Counter, exposition, gauge, Histogram } from './metrics.ts';

describe('exposition', () => {
  it('writes each metric with its help, type and samples', () => {
    const counter = new Counter('requests_total', 'Requests.', 'status');
    counter.add(200);
    counter.add(200, 2);
    counter.add(503);
    assert.equal(
      exposition([counter.metric, gauge('waiting', 'Jobs.', 1.5)]),
      '# HELP requests_total Requests.\n# TYPE requests_total counter\nrequests_total{status="200"} 3\n' +
        'requests_total{status="503"} 1\n# HELP waiting Jobs.\n# TYPE waiting gauge\nwaiting 1.5\n',
    );
  });

  it('writes a histogram with buckets that add up', () => {
    const histogram = new Histogram('seconds', 'Time.', [0.1, 1]);
    for (const value of [0.1, 0.5, 2, 0.125]) histogram.observe(value);
    assert.deepEqual(exposition([histogram.metric]).split('\n').slice(2, -1), [
      'seconds_bucket{le="0.1"} 1',
      'seconds_bucket{le="1"} 3',
      'seconds_bucket{le="+Inf"} 4',
      'seconds_sum 2.725',
      'seconds_count 4',
    ]);
  });

  it('escapes what a label or a help text may not hold', () => {
    const metric = {
      name: 'm',
      help: 'a\nb\\c',
      type: 'gauge',
      samples: [{ value: 1, labels: { q: 'a"b\\c\nd' } }],
    } as const;
    assert.deepEqual(exposition([metric]).split('\n'), [
      '# HELP m a\\nb\\\\c',
      '# TYPE m gauge',
      'm{q="a\\"b\\\\c\\nd"} 1',
      '',
    ]);
  });

  it('joins samples under one name, and writes numbers that are none', () => {
    const text = exposition([
      gauge('m', 'M.', Number.POSITIVE_INFINITY),
      gauge('n', 'N.', 0),
      gauge('m', 'M.', Number.NaN),
    ]);
    assert.deepEqual(text.split('\n').slice(0, 4), ['# HELP m M.', '# TYPE m gauge', 'm +Inf', 'm NaN']);
    assert.equal(text.match(/# TYPE m /g)?.length, 1);
  });
});
