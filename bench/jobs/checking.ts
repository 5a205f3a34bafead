/** What holds for the sections of every bench of job systems, as tests. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Figures } from '../figures.ts';
import { measureInChild } from './measure.ts';
import { measures, redisMeasures } from './measures.ts';
import { peers } from './peers.ts';
import type { Section } from './sections.ts';
import type { Spec } from './spec.ts';
import { systems } from './systems.ts';

/** @param home systems that need no peer */
export function checkSections(sections: Readonly<Record<string, Section>>, home: readonly string[]): void {
  const all = Object.values(sections);

  describe('the sections', () => {
    it('name measures, systems and peers that exist, and give each rival its peer', () => {
      for (const { name, peer, spec } of all.flatMap(({ contenders }) => contenders)) {
        assert.ok(spec.measure in measures || spec.measure in redisMeasures, `${name}: no measure "${spec.measure}"`);
        assert.ok(spec.system in systems, `${name}: no system "${spec.system}"`);
        assert.equal(peer === undefined, home.includes(spec.system), name);
        if (peer) assert.ok(peer in peers, `${name}: no peer "${peer}"`);
      }
    });

    it('give each contender of a table a name of its own, and refer to one of them', () => {
      for (const { title, contenders, reference } of all) {
        const names = contenders.map(({ name }) => name);
        assert.equal(new Set(names).size, names.length, title);
        assert.ok(names.includes(reference), title);
      }
    });

    it('give each target a name of its own', () => {
      for (const section of all) {
        const names = section.targets(new Map()).map(({ what }) => what);
        assert.equal(new Set(names).size, names.length, section.title);
      }
    });

    it('have targets without a figure when nothing was run', () => {
      for (const section of all) {
        const targets = section.targets(new Map());
        assert.ok(targets.length > 0 && targets.every(({ value }) => value === undefined), section.title);
      }
    });

    it('find their rows and their figures when there are some', () => {
      const any: Figures = new Proxy({}, { get: () => 1, has: () => true });
      for (const section of all) {
        const targets = section.targets(new Map(section.contenders.map(({ name }) => [name, any])));
        for (const { what, value } of targets) assert.notEqual(value, undefined, what);
      }
    });
  });
}

/** Runs a measurement as the bench does, in a child; rejects when it fails. */
export async function runOnce(spec: Spec): Promise<Figures> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  try {
    return await measureInChild(spec, undefined, { limit: 60_000, folder });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
