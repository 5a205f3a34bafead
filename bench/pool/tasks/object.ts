import type { Picture } from '../payloads.ts';

/** An object there and one of the same size back. */
export default function object(picture: Picture): Picture {
  return { ...picture, attempt: picture.attempt + 1 };
}
