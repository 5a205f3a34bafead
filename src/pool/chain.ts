/**
 * A first-in-first-out line of links, from which any of them can leave at once.
 *
 *   oldest ◀──▶ a ◀──▶ b ◀──▶ c ◀──▶ newest        the links are fields of the members themselves
 *
 * Promises: push, shift, pop, delete: O(1), nothing allocated. A member stands in one chain at a time; to delete one that
 * stands in another is a mistake that is not noticed, so whoever deletes knows where it stands. A member that has left
 * keeps nothing alive.
 */
export interface Link<Self> {
  older: Self | undefined;
  newer: Self | undefined;
}

export class Chain<Member extends Link<Member>> {
  #oldest: Member | undefined;
  #newest: Member | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get oldest(): Member | undefined {
    return this.#oldest;
  }

  get newest(): Member | undefined {
    return this.#newest;
  }

  push(member: Member): void {
    this.insert(member, this.#newest);
  }

  /** Puts it right behind `older`; in front of all when that is undefined. */
  insert(member: Member, older: Member | undefined): void {
    const newer = older ? older.newer : this.#oldest;
    member.older = older;
    member.newer = newer;
    if (older) older.newer = member;
    else this.#oldest = member;
    if (newer) newer.older = member;
    else this.#newest = member;
    this.#size++;
  }

  shift(): Member | undefined {
    const member = this.#oldest;
    if (member) this.delete(member);
    return member;
  }

  /** Oldest first. The member that was given may leave meanwhile. */
  *[Symbol.iterator](): Iterator<Member> {
    for (let member = this.#oldest; member; ) {
      const { newer } = member;
      yield member;
      member = newer;
    }
  }

  /** Takes out a member of this chain. */
  delete(member: Member): void {
    const { older, newer } = member;
    if (older) older.newer = newer;
    else this.#oldest = newer;
    if (newer) newer.older = older;
    else this.#newest = older;
    member.older = undefined;
    member.newer = undefined;
    this.#size--;
  }
}
