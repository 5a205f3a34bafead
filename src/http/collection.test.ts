import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { isError } from '../errors.ts';
import { type CollectionKind, splitCollection } from './collection.ts';
import { MAX_DEPTH } from './json.ts';

const texts = (body: string | Buffer, kind: CollectionKind = 'json', limit = 1000) =>
  splitCollection(Buffer.from(body), kind, limit).map((payload) => Buffer.from(payload).toString());

/** `CODE: detail` of the refusal. */
function refusal(body: string | Buffer, kind: CollectionKind = 'json', limit = 1000): string {
  try {
    texts(body, kind, limit);
  } catch (error) {
    if (isError(error, 'REQUEST_INVALID')) return `${error.fields.problem}: ${error.fields.detail}`;
    throw error;
  }
  return 'accepted';
}

/** Any JSON text of a value, also with white space that `JSON.stringify` would not write. */
const anyJson = fc
  .tuple(fc.jsonValue(), fc.constantFrom(0, 1, 3, '\t'))
  .map(([value, indent]) => JSON.stringify(value, null, indent));
const space = fc.constantFrom('', ' ', '\n', '\r\n\t ');

describe('a JSON collection', () => {
  test('may be a bare array, `data` or `payloads`', () => {
    assert.deepEqual(texts('[1,"a",{"b":[2]}]'), ['1', '"a"', '{"b":[2]}']);
    assert.deepEqual(texts('{"version":1,"token":"t","data":[{"n":1},{"n":2}]}'), ['{"n":1}', '{"n":2}']);
    assert.deepEqual(texts('{"payloads":[null,true,-1.5e+3]}'), ['null', 'true', '-1.5e+3']);
  });

  test('may be empty', () => {
    for (const body of ['[]', ' [ ] ', '{"data":[]}', '{"payloads":[\n]}']) assert.deepEqual(texts(body), []);
  });

  test('gives slices of the body itself, not copies', () => {
    const body = Buffer.from('{"data":[ {"n": 1.0} ]}');
    const [payload] = splitCollection(body, 'json', 10);
    assert.equal(payload?.buffer, body.buffer);
    assert.equal(payload?.byteOffset, body.byteOffset + 10);
  });

  test('finds the list by its key at the top only, escaped or not', () => {
    assert.deepEqual(texts('{"d\\u0061ta":[1]}'), ['1']);
    assert.deepEqual(texts('{"meta":{"data":[9]},"x":"\\"data\\":[8]","data":[1]}'), ['1']);
    assert.deepEqual(texts('{"__proto__":{"data":[9]},"data":[1],"constructor":2}'), ['1']);
    assert.match(refusal('{"d\\u0061tb":[1]}'), /^NOT_A_COLLECTION/);
    assert.match(refusal('{"__proto__":{"data":[1]}}'), /^NOT_A_COLLECTION/);
  });

  test('with two lists is refused: one of them would be dropped', () => {
    for (const body of ['{"data":[1],"data":[2]}', '{"data":[1],"payloads":[2]}', '{"data":[1],"d\\u0061ta":7}']) {
      assert.match(refusal(body), /^NOT_A_COLLECTION: .*more than one list/);
    }
    assert.match(refusal('{"data":1,"data":[2]}'), /^NOT_A_COLLECTION: `data` should be an array/);
  });

  test('may start with a byte order mark', () => {
    assert.deepEqual(texts('\ufeff[1]'), ['1']);
    assert.match(refusal('\ufeff\ufeff[1]'), /^BODY_MALFORMED/);
  });

  test('that is well-formed but no list is not a collection', () => {
    for (const body of ['1', '"data"', 'null', '{}', '{"data":{}}', '{"payloads":null}', '{"Data":[1]}']) {
      assert.match(refusal(body), /^NOT_A_COLLECTION/, body);
    }
  });

  test('that is malformed is told where, in lines, columns and bytes', () => {
    assert.equal(refusal('[1,\n 2,,3]'), 'BODY_MALFORMED: line 2, column 4 (byte 7): expected a value, found `,`');
    assert.equal(refusal('[1]x'), 'BODY_MALFORMED: line 1, column 4 (byte 3): expected the end of the body, found `x`');
    assert.equal(refusal(''), 'BODY_MALFORMED: line 1, column 1 (byte 0): expected a value, found the end');
    assert.equal(refusal('["ü" "b"]'), 'BODY_MALFORMED: line 1, column 6 (byte 6): expected `,` or `]`, found `"`');
    assert.match(refusal('{"data":[1]'), /byte 11\): expected `,` or `}`, found the end/);
    assert.match(refusal('{"data":[1],"x":tru}'), /^BODY_MALFORMED: .*expected `true`/);
    assert.match(refusal('["a\nb"]'), /found byte 0x0a/);
  });

  test('that is not UTF-8 is told where, also behind a character that looks like the mark of an error', () => {
    assert.match(
      refusal(Buffer.from([0x5b, 0x22, 0xff, 0x22, 0x5d])),
      /^BODY_MALFORMED: .*byte 2\): the body is not UTF-8/,
    );
    const fffd = Buffer.concat([Buffer.from('["\ufffdé'), Buffer.from([0xc3]), Buffer.from('"]')]);
    assert.match(refusal(fffd), /byte 7\): the body is not UTF-8/);
  });

  test('may be nested up to the limit and costs no stack', () => {
    const nested = (depth: number) => `[${'['.repeat(depth)}1${']'.repeat(depth)}]`;
    assert.equal(texts(nested(MAX_DEPTH)).length, 1);
    assert.match(refusal(nested(MAX_DEPTH + 1)), /^NESTED_TOO_DEEP/);
    assert.match(refusal('[{"a":'.repeat(1_000_000)), /^NESTED_TOO_DEEP/);
  });

  test('may have as many payloads as the limit', () => {
    assert.equal(texts('[1,2,3]', 'json', 3).length, 3);
    assert.match(refusal('[1,2,3,4]', 'json', 3), /^TOO_MANY_PAYLOADS/);
    assert.match(refusal('1\n2\n', 'ndjson', 1), /^TOO_MANY_PAYLOADS/);
  });

  test('for any values, the slices are the bytes that were sent', () => {
    fc.assert(
      fc.property(fc.array(anyJson), space, fc.constantFrom('', 'data', 'payloads'), (values, gap, key) => {
        const list = `${gap}[${gap}${values.join(`${gap},${gap}`)}${gap}]${gap}`;
        const body = key === '' ? list : `{"version":"[{\\"",${gap}"${key}"${gap}:${list},"z":[]}`;
        assert.deepEqual(texts(body), values);
      }),
    );
  });

  test('is accepted exactly when JSON.parse accepts it', () => {
    const token = fc.constantFrom(
      ...'{}[]:,"\\',
      '"a"',
      '\\u00e9',
      '1',
      '0',
      '-',
      '.',
      'e',
      '+',
      'true',
      'null',
      'fals',
      ' ',
      '\n',
      '\u0000',
      'é',
      'data',
    );
    const soup = fc.array(token, { maxLength: 12 }).map((tokens) => tokens.join(''));
    const wounded = fc.tuple(anyJson, fc.nat(), token).map(([json, at, bit]) => {
      const cut = at % (json.length + 1);
      return json.slice(0, cut) + bit + json.slice(cut + (at % 2));
    });
    const parses = (text: string) => {
      try {
        JSON.parse(text);
        return true;
      } catch {
        return false;
      }
    };
    fc.assert(
      fc.property(fc.oneof(soup, wounded, anyJson), (text) => {
        const body = `[${text}]`;
        // A lone surrogate would become U+FFFD on its way to bytes; that is still the same question.
        const wellFormed = !refusal(body, 'json', 1e6).startsWith('BODY_MALFORMED');
        assert.equal(wellFormed, parses(Buffer.from(body).toString()), body);
      }),
      { numRuns: 3000 },
    );
  });
});

describe('an NDJSON collection', () => {
  test('has a payload a line; blank lines, CRLF and a missing last line feed are fine', () => {
    assert.deepEqual(texts('{"a":1}\n"b"\r\n\n \t\r\n 3 \n[4]', 'ndjson'), ['{"a":1}', '"b"', '3', '[4]']);
    for (const empty of ['', '\n\n', ' \r\n']) assert.deepEqual(texts(empty, 'ndjson'), []);
  });

  test('that is malformed is told in which line', () => {
    assert.equal(
      refusal('1\n\n{"a":}\n4', 'ndjson'),
      'BODY_MALFORMED: line 3, column 6 (byte 8): expected a value, found `}`',
    );
    assert.match(refusal('1\n2 3\n', 'ndjson'), /line 2, column 3 \(byte 4\): expected the end of the line, found `3`/);
  });

  test('may not break a value over lines', () => {
    assert.match(refusal('{"a":1,\n"b":2}\n', 'ndjson'), /^BODY_MALFORMED: line 1, .*found the end/);
    assert.match(refusal('{"a":1\n{"b":2}\n', 'ndjson'), /^BODY_MALFORMED: line 1, .*found the end/);
  });

  test('for any values, the slices are the bytes that were sent', () => {
    const line = fc.jsonValue().map((value) => JSON.stringify(value));
    fc.assert(
      fc.property(fc.array(line), fc.constantFrom('\n', '\r\n', '\n\n', ' \r\n\t\n'), (lines, end) => {
        assert.deepEqual(texts(lines.join(end), 'ndjson'), lines);
        assert.deepEqual(texts(lines.map((text) => text + end).join(''), 'ndjson'), lines);
      }),
    );
  });
});
