import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkSections, runOnce } from '../jobs/checking.ts';
import { redisVersion } from '../jobs/redis.ts';
import { shrink } from '../jobs/sections.ts';
import { sections } from './sections.ts';

const all = sections(true);

describe('every section', () => {
  for (const [name, { contenders, columns }] of Object.entries(all)) {
    it(`${name}: runs with Millrace and with the bare loop, and fills its columns`, async () => {
      assert.ok(redisVersion(), 'no redis-server on the PATH: apt-get install redis-server');
      const ours = contenders.filter(({ peer }) => peer === undefined);
      // The longest lines are the same but for their length.
      const tried = new Map(ours.map((row) => [JSON.stringify({ ...row.spec, behind: 0 }), row]));
      assert.ok(tried.size > 0);
      for (const { spec, name: row } of tried.values()) {
        const figures = await runOnce({ ...shrink(spec, 1_000), ...(spec.behind && { behind: 300 }) });
        assert.equal(figures.jobs, shrink(spec, 1_000).jobs, row);
        for (const [figure, value] of Object.entries(figures)) assert.ok(Number.isFinite(value), `${row}: ${figure}`);
        for (const [title, cell] of columns) assert.ok(cell(figures, figures) !== '', `${row}: ${title}`);
      }
    });
  }
});

checkSections(all, ['bare-redis', 'millrace']);
