import assert from 'node:assert/strict';
import { registerHooks } from 'node:module';
import { it } from 'node:test';
import { parseRule } from './rule.ts';

// A file of its own: what has been imported once cannot be missing any more.
it('says which package is missing for a cron rule, and needs it for no other', async () => {
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      if (specifier === 'croner') throw Object.assign(new Error('not installed'), { code: 'ERR_MODULE_NOT_FOUND' });
      return next(specifier, context);
    },
  });
  try {
    await assert.rejects(parseRule({ cron: '* * * * *' }, 'a'), { code: 'MILLRACE_PEER_MISSING', message: /croner/ });
    await parseRule({ every: 1_000 }, 'a');
  } finally {
    hooks.deregister();
  }
});
