/** What the thread sections send: a payload for each task, by number, and the answer it must get. */

/** About 220 bytes of JSON. */
export interface Picture {
  readonly id: string;
  readonly kind: string;
  readonly url: string;
  readonly width: number;
  readonly height: number;
  readonly format: string;
  readonly attempt: number;
  readonly tags: readonly string[];
}

export function pictureOf(number: number): Picture {
  const digits = String(number).padStart(12, '0');
  return {
    id: `7f3c9a52-41de-4b0a-9c1e-${digits}`,
    kind: 'resize',
    url: `https://images.example.org/originals/${digits}.jpeg`,
    width: 1280,
    height: 720,
    format: 'webp',
    attempt: number,
    tags: ['front page', 'summer'],
  };
}

/** Steps of `spin` that take about 5 ms; the table says what they took. */
const STEPS = 3_000_000;

interface Exchange {
  readonly payload: (number: number) => unknown;
  /** A number that tells whether the answer is the one to this payload; undefined when it does not matter. */
  readonly check?: (answer: unknown) => number;
}

/** `check(answer)` must be the payload's number + 1. */
export const exchanges: Readonly<Record<string, Exchange>> = {
  add: { payload: (number) => ({ a: number, b: 1 }), check: Number },
  object: { payload: pictureOf, check: (answer) => (answer as Picture).attempt },
  acknowledge: { payload: pictureOf, check: Number },
  spin: { payload: () => ({ steps: STEPS }) },
};
