import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkSections, runOnce } from '../jobs/checking.ts';
import { shrink } from '../jobs/sections.ts';
import { sections } from './sections.ts';

const all = sections();

describe('every section', () => {
  for (const [name, { contenders, columns }] of Object.entries(all)) {
    for (const { name: row, spec } of contenders) {
      it(`${name}: runs with ${row}, and fills its columns`, async () => {
        const small = shrink(spec, 200);
        const figures = await runOnce(small);
        assert.equal(figures.jobs, small.jobs);
        for (const [title, cell] of columns) assert.ok(cell(figures, figures) !== '', title);
      });
    }
  }
});

checkSections(all, ['resque']);
