import type { Picture } from '../payloads.ts';

/** An object there and a number back. */
export default function acknowledge(picture: Picture): number {
  return picture.attempt + 1;
}
