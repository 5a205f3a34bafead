import assert from 'node:assert/strict';
import { registerHooks } from 'node:module';
import { it } from 'node:test';
import { makeLink } from './link.ts';

// A file of its own: what has been imported once cannot be missing any more.
it('says which package is missing, and finds it once it is there', async () => {
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      if (specifier === 'redis') throw Object.assign(new Error('not installed'), { code: 'ERR_MODULE_NOT_FOUND' });
      return next(specifier, context);
    },
  });
  // Nobody listens on port 1.
  const links = ['redis://127.0.0.1:1', 'redis+sentinel://127.0.0.1:1/main', 'redis+cluster://127.0.0.1:1'].map((url) =>
    makeLink(url),
  );
  try {
    for (const link of links) {
      await assert.rejects(link.open(), { code: 'MILLRACE_PEER_MISSING', message: /npm install redis/ }, link.name);
    }
  } finally {
    hooks.deregister();
  }
  for (const link of links) {
    await assert.rejects(link.open(), { code: 'MILLRACE_BACKEND_UNAVAILABLE' });
    await link.close();
  }
});
