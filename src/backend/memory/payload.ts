/** Conditions on what is in a payload. */
import type { Condition } from '../filter.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Undefined for what is not JSON. */
export function parsed(payload: Uint8Array): { readonly json: unknown } | undefined {
  try {
    return { json: JSON.parse(utf8.decode(payload)) as unknown };
  } catch {
    return undefined; // another codec's bytes, or nobody's
  }
}

/** Whether the condition holds for a JSON value. */
export function holds({ path, is, value }: Condition, json: unknown): boolean {
  let found: unknown = json;
  for (const step of path) found = member(found, step);
  if (is === '!=') return found !== value;
  if (found === undefined) return false;
  if (is === '=') return found === value;
  if (is === 'contains') {
    if (Array.isArray(found)) return found.includes(value);
    return typeof found === 'string' && typeof value === 'string' && found.toLowerCase().includes(value.toLowerCase());
  }
  const order = compare(found, value);
  if (order === undefined) return false;
  if (is === '<') return order < 0;
  if (is === '<=') return order <= 0;
  return is === '>' ? order > 0 : order >= 0;
}

/** What JSON has there; not what every array and object of the language has. */
function member(value: unknown, step: string | number): unknown {
  if (Array.isArray(value)) return typeof step === 'number' ? (value[step] as unknown) : undefined;
  if (typeof value !== 'object' || value === null || typeof step === 'number') return undefined;
  return Object.hasOwn(value, step) ? (value as Readonly<Record<string, unknown>>)[step] : undefined;
}

/** Undefined: they are in no order. */
function compare(a: unknown, b: unknown): number | undefined {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return typeof a === 'string' && typeof b === 'string' ? compareText(a, b) : undefined;
}

/** By code points, which is not the order of code units: those of pairs come after all others. */
function compareText(a: string, b: string): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

function rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
