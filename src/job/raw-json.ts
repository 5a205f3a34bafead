/**
 * The two doors of JSON that keep a number's own digits: a text written as it is, and the text a value was read from.
 * They are newer than TypeScript's library, so their types are here.
 */
interface SourceJson {
  rawJSON(text: string): object;
  isRawJSON(value: unknown): boolean;
  parse(text: string, revive: (key: string, value: unknown, context: { readonly source?: string }) => unknown): unknown;
}

const sourceJson = JSON as unknown as SourceJson;

/** What `JSON.stringify` writes as `text`; a JSON literal, not an object or array. */
export const rawJson = (text: string): object => sourceJson.rawJSON(text);

export const isRawJson = (value: unknown): boolean => sourceJson.isRawJSON(value);

/** `JSON.parse`; `read` sees each number and the text it came from. */
export function parseNumbers(text: string, read: (value: number, source: string) => unknown): unknown {
  return sourceJson.parse(text, (_, value, { source }) =>
    typeof value === 'number' && source !== undefined ? read(value, source) : value,
  );
}
