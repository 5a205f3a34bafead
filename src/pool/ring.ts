/**
 * A first-in-first-out queue in a ring whose length is a power of two, so that an index wraps with one `&`.
 *
 *   slots   ┌───┬───┬───┬───┬───┬───┬───┬───┐
 *           │ e │   │   │ a │ b │ c │ d │ … │      push writes at (head + size) & mask
 *           └───┴───┴───┴─▲─┴───┴───┴───┴───┘      shift reads at head, and clears the slot
 *                         head
 *
 * It doubles when it is full and keeps its largest length; whoever uses it keeps the bound. Costs: push and shift O(1)
 * amortised, 8 bytes per slot, nothing allocated per value.
 */
const SMALLEST = 16;

export class Ring<T> {
  #slots: (T | undefined)[] = new Array(SMALLEST);
  #mask = SMALLEST - 1;
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(value: T): void {
    if (this.#size > this.#mask) this.#grow();
    this.#slots[(this.#head + this.#size) & this.#mask] = value;
    this.#size++;
  }

  /** Takes the oldest. Undefined when the ring is empty; look at `size` where undefined is a value. */
  shift(): T | undefined {
    if (this.#size === 0) return undefined;
    const value = this.#slots[this.#head];
    this.#slots[this.#head] = undefined; // what was taken must not be kept alive from here
    this.#head = (this.#head + 1) & this.#mask;
    this.#size--;
    return value;
  }

  /**
   * Takes one value out of the line, wherever it stands. O(its position): those before it move up by one, so values
   * that leave in the order they came (everything behind one signal) cost O(1) each.
   */
  delete(value: T): boolean {
    let at = 0;
    while (at < this.#size && this.#slots[(this.#head + at) & this.#mask] !== value) at++;
    if (at === this.#size) return false;
    for (; at > 0; at--) {
      this.#slots[(this.#head + at) & this.#mask] = this.#slots[(this.#head + at - 1) & this.#mask];
    }
    this.shift();
    return true;
  }

  /** Takes everything, oldest first. */
  takeAll(): T[] {
    const values: T[] = [];
    while (this.#size > 0) values.push(this.shift() as T);
    return values;
  }

  #grow(): void {
    const slots: (T | undefined)[] = new Array((this.#mask + 1) * 2);
    for (let i = 0; i < this.#size; i++) slots[i] = this.#slots[(this.#head + i) & this.#mask];
    this.#slots = slots;
    this.#mask = slots.length - 1;
    this.#head = 0;
  }
}
