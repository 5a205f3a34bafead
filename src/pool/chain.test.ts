import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Chain, type Link } from './chain.ts';

class Member implements Link<Member> {
  older: Member | undefined = undefined;
  newer: Member | undefined = undefined;
  readonly n: number;

  constructor(n: number) {
    this.n = n;
  }
}

describe('Chain', () => {
  it('does what an array does, whatever is called in whatever order', () => {
    const step = fc.oneof(
      fc.constantFrom('push' as const, 'shift' as const),
      fc.nat(20).map((at) => ({ insertBehind: at })),
      fc.nat(20).map((at) => ({ delete: at })),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const chain = new Chain<Member>();
        const model: Member[] = [];
        let n = 0;
        for (const call of steps) {
          if (call === 'push') {
            const member = new Member(n++);
            chain.push(member);
            model.push(member);
          } else if (call === 'shift') assert.equal(chain.shift(), model.shift());
          else if ('delete' in call) {
            const [member] = model.splice(call.delete, 1);
            if (!member) continue;
            chain.delete(member);
            assert.deepEqual([member.older, member.newer], [undefined, undefined], 'keeps nothing alive');
          } else {
            const older = model[call.insertBehind];
            const member = new Member(n++);
            chain.insert(member, older);
            model.splice(older ? call.insertBehind + 1 : 0, 0, member);
          }
          assert.deepEqual([chain.size, chain.oldest, chain.newest], [model.length, model[0], model.at(-1)]);
          assert.deepEqual([...chain], model);
        }
      }),
    );
  });

  it('can be walked through while the member that was given leaves', () => {
    const chain = new Chain<Member>();
    for (let n = 0; n < 4; n++) chain.push(new Member(n));
    const seen: number[] = [];
    for (const member of chain) {
      seen.push(member.n);
      chain.delete(member);
    }
    assert.deepEqual(seen, [0, 1, 2, 3]);
    assert.equal(chain.size, 0);
    assert.equal(chain.shift(), undefined);
  });
});
