/** What is expected of something, in part: `{ payload: { to: 'ada' } }` matches whatever else there is. */
import { isDeepStrictEqual } from 'node:util';

/** A value, or some members of it, at any depth. */
export type PartOf<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { readonly [K in keyof T]?: PartOf<T[K]> }
    : T;

/** Every member that is named in `expected` is equal. Arrays and values are equal as a whole. */
export function matches(actual: unknown, expected: unknown): boolean {
  if (!isMembers(expected)) return isDeepStrictEqual(actual, expected);
  if (typeof actual !== 'object' || actual === null) return false;
  return Object.entries(expected).every(([name, value]) => matches(Reflect.get(actual, name), value));
}

function isMembers(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
