/** Where a walk through several shards goes on: for each the arrival number behind which, `-` for its beginning, `x` for its end. */
import { assertOption } from '../../../errors.ts';

export type Positions = readonly (number | undefined)[];

export function formatPositions(positions: Positions): string {
  return positions.map((at) => (at === undefined ? 'x' : at < 0 ? '-' : at.toString(32))).join('.');
}

/** @throws OPTION_INVALID for what `formatPositions` did not make for so many shards */
export function parsePositions(after: string | undefined, count: number): Positions {
  if (after === undefined) return Array.from({ length: count }, () => -1);
  const parts = after.split('.');
  const isOne = parts.length === count && parts.every((part) => /^(-|x|[0-9a-v]{1,11})$/.test(part));
  assertOption('after', after, isOne, 'the `next` of a page');
  return parts.map((part) => (part === 'x' ? undefined : part === '-' ? -1 : Number.parseInt(part, 32)));
}
