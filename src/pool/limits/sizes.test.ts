import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SizeScale, sizeClass } from './sizes.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

describe('sizeClass', () => {
  it('puts sizes into classes, each four times the one before', () => {
    const sizes = [0, 1, 4 * KIB, 4 * KIB + 1, 16 * KIB, 64 * KIB, MIB, 8 * MIB, 256 * MIB, 2 ** 50];
    assert.deepEqual(sizes.map(sizeClass), [0, 0, 0, 1, 1, 2, 4, 6, 8, 8]);
  });
});

describe('SizeScale', () => {
  it('leaves latencies of one class as they are', () => {
    const scale = new SizeScale();
    assert.deepEqual(
      [20, 35, 12, 400].map((rtt) => scale.level(rtt, 8 * MIB)),
      [20, 35, 12, 400],
    );
  });

  it('shows a large body as the small one it came with', () => {
    const scale = new SizeScale();
    scale.level(20, KIB);
    assert.equal(scale.level(2000, 8 * MIB), 20);
    assert.ok(Math.abs(scale.level(3000, 8 * MIB) - 30) < 0.1);
  });

  it('lets load show, whatever the size', () => {
    const scale = new SizeScale();
    scale.level(20, KIB);
    scale.level(2000, 8 * MIB);
    assert.equal(scale.level(60, KIB), 60);
    assert.ok(Math.abs(scale.level(6000, 8 * MIB) - 60) < 1);
  });

  it('forgets a lucky latency within some thousand samples', () => {
    const scale = new SizeScale();
    scale.level(20, KIB);
    scale.level(20, 8 * MIB);
    assert.equal(Math.round(scale.level(2000, 8 * MIB)), 1820);
    let level = 0;
    for (let i = 0; i < 5000; i++) level = scale.level(2000, 8 * MIB);
    assert.ok(level < 21, `${level}`);
  });

  it('takes a latency of nothing for the grain of the clock', () => {
    const scale = new SizeScale();
    assert.equal(scale.level(0, KIB), 0.001);
    assert.equal(scale.level(0, MIB), 0.001);
  });
});
