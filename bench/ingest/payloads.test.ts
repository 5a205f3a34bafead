import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LatencyHistogram } from './latency.ts';
import { compare } from './measure.ts';
import { eachNumber, NumberedRequest } from './payloads.ts';
import { ACCEPTED, REFUSED, UNKNOWN } from './protocol.ts';

function numbersIn(object: string): number[] {
  const numbers: number[] = [];
  eachNumber(Buffer.from(object), (n) => numbers.push(n));
  return numbers;
}

describe('the numbered collection', () => {
  it('is a request of 291 bytes with two payloads, whatever the number', () => {
    const request = new NumberedRequest('127.0.0.1', '/payloads');
    for (const number of [0, 7, 123_456_789]) {
      request.number(number);
      const [head = '', body = ''] = request.bytes.toString().split('\r\n\r\n');
      assert.match(head, /^POST \/payloads HTTP\/1\.1\r\n[\s\S]*Content-Length: 291$/);
      assert.equal(body.length, 291);
      const lines = JSON.parse(body).data.map((payload: unknown) => JSON.stringify(payload));
      assert.deepEqual(numbersIn(`${lines.join('\n')}\n`), [2 * number, 2 * number + 1]);
      assert.deepEqual(numbersIn(lines[1]), [2 * number + 1], 'a single payload without a line break');
    }
  });
});

describe('the comparison of answers and store', () => {
  it('finds what is missing, doubled and stray', () => {
    const outcomes = Uint8Array.of(ACCEPTED, ACCEPTED, REFUSED, UNKNOWN, REFUSED);
    assert.deepEqual(compare(outcomes, Uint8Array.of(1, 1, 1, 1, 0, 0, 1, 1, 0, 0)), {
      missing: 0,
      twice: 0,
      stray: 0,
    });
    assert.deepEqual(compare(outcomes, Uint8Array.of(1, 0, 2, 1, 1, 1, 0, 0)), { missing: 1, twice: 1, stray: 2 });
    assert.deepEqual(compare(outcomes, Uint8Array.of()), { missing: 4, twice: 0, stray: 0 });
  });
});

describe('the latency histogram', () => {
  it('tells quantiles to a hundredth of a millisecond', () => {
    const latency = new LatencyHistogram();
    assert.equal(latency.quantile(0.99), 0);
    for (let i = 1; i <= 100; i++) latency.add(i / 10 - 0.005);
    assert.ok(Math.abs(latency.quantile(0.5) - 5) < 0.011);
    assert.ok(Math.abs(latency.quantile(0.99) - 9.9) < 0.011);
    latency.add(2500);
    assert.equal(latency.quantile(1), 2501);
    assert.equal(latency.max, 2500);
  });
});
