/**
 * A sorted line whose items nearly always come in order already.
 *
 *   ring   ┌───┬───┬───┬───┬───┬───┬───┐
 *          │ a │ b │   │ d │ e │   │ g │ ◀── what is not before the last one
 *          └─▲─┴───┴───┴───┴───┴───┴─▲─┘     (first and last slot are never holes)
 *   late   a heap of the others; the first of both is the first of the line
 *
 * Push, pop and remove are O(1) for what came in order, whatever the length; O(log late) for the others. An item that is
 * taken out of the middle leaves a hole, which is passed over once; a ring of mostly holes is made anew.
 */
import { Heap, type Placed } from './heap.ts';

const SMALLEST = 16;

export class Line<T extends Placed> {
  #ring: (T | undefined)[] = new Array(SMALLEST);
  #mask = SMALLEST - 1;
  /** Positions in the ring only go up; a slot is a position's low bits. Those of [head, tail) are in use. */
  #head = 0;
  #tail = 0;
  #inRing = 0;
  readonly #late: Heap<T>;
  readonly #before: (a: T, b: T) => boolean;

  /** @param before a strict order: whether `a` comes out ahead of `b` */
  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before;
    this.#late = new Heap(before);
  }

  get size(): number {
    return this.#inRing + this.#late.size;
  }

  peek(): T | undefined {
    const first = this.#ring[this.#head & this.#mask];
    const late = this.#late.peek();
    return late && (!first || this.#before(late, first)) ? late : first;
  }

  push(item: T): void {
    const last = this.#inRing > 0 ? (this.#ring[(this.#tail - 1) & this.#mask] as T) : undefined;
    if (last && this.#before(item, last)) {
      this.#late.push(item);
      return;
    }
    if (this.#tail - this.#head > this.#mask) this.#rebuild();
    this.#append(item);
  }

  pop(): T | undefined {
    const first = this.peek();
    if (first) this.remove(first);
    return first;
  }

  /** `item` must be in the line. */
  remove(item: T): void {
    if (item.spot >= 0) {
      this.#late.remove(item);
      return;
    }
    this.#ring[(-1 - item.spot) & this.#mask] = undefined;
    this.#inRing--;
    if (this.#inRing === 0) {
      this.#head = this.#tail;
      if (this.#mask > 64 * SMALLEST) this.#rebuild();
      return;
    }
    while (this.#ring[this.#head & this.#mask] === undefined) this.#head++;
    while (this.#ring[(this.#tail - 1) & this.#mask] === undefined) this.#tail--;
    if (this.#inRing * 4 < this.#tail - this.#head && this.#mask > 64 * SMALLEST) this.#rebuild();
  }

  /** In no particular order. */
  *[Symbol.iterator](): Generator<T> {
    for (let at = this.#head; at < this.#tail; at++) {
      const item = this.#ring[at & this.#mask];
      if (item) yield item;
    }
    yield* this.#late;
  }

  #append(item: T): void {
    item.spot = -1 - this.#tail;
    this.#ring[this.#tail & this.#mask] = item;
    this.#tail++;
    this.#inRing++;
  }

  /** A ring of twice what is in it, without holes. */
  #rebuild(): void {
    const [ring, mask, head, tail] = [this.#ring, this.#mask, this.#head, this.#tail];
    let length = SMALLEST;
    while (length < this.#inRing * 2) length *= 2;
    this.#ring = new Array(length);
    this.#mask = length - 1;
    this.#head = this.#tail = this.#inRing = 0;
    for (let at = head; at < tail; at++) {
      const item = ring[at & mask];
      if (item) this.#append(item);
    }
  }
}
