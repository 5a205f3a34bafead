import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkSections, runOnce } from '../jobs/checking.ts';
import { measures } from '../jobs/measures.ts';
import { sections } from './sections.ts';

describe('the measures', () => {
  const rows = [
    { system: 'bare-sqlite' },
    { system: 'millrace' },
    { system: 'millrace', settings: { backend: 'memory' } },
  ];
  it('run with Millrace, in a file and in memory, and with the bare loop', async () => {
    for (const row of rows) {
      for (const measure of Object.keys(measures)) {
        const jobs = measure === 'pick-up' ? 5 : 300;
        const figures = await runOnce({ measure, ...row, jobs, behind: 50, idle: 0.01, patience: 50 });
        assert.equal(figures.jobs, jobs, `${row.system} ${measure}`);
      }
    }
  });
});

checkSections(sections(true), ['bare-sqlite', 'millrace']);
