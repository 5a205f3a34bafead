/**
 * The token of a claim, `claim` of a job: the number of the call that claimed it and the slot of the worker that has it. It goes up with
 * every claim of a job. The scripts know both as texts: see lua/workers.lua.
 */

/** Slots that a server may have. */
const SLOTS = 8_192;

const texts = Array.from({ length: SLOTS }, (_, slot) => String(slot));

export function tokenOf(number: number, slot: number): number {
  return number * SLOTS + slot;
}

export function slotOf(token: number): number {
  return token % SLOTS;
}

/** As the scripts want them. Such that nobody has it for what is no token at all. */
export function toTexts(tokens: readonly number[]): {
  readonly numbers: readonly string[];
  readonly slots: readonly string[];
} {
  let last = -1;
  let text = '';
  const numbers = tokens.map((token) => {
    const number = Math.floor(token / SLOTS);
    if (number !== last) text = String(number);
    last = number;
    return text;
  });
  return { numbers, slots: tokens.map((token) => texts[token % SLOTS] ?? '') };
}
