import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { changed, defaultSettings } from '../backend/settings.ts';
import { settingsText } from './settings-text.ts';

describe('settingsText', () => {
  it('says nothing about a queue that is as any other', () => {
    assert.equal(settingsText(defaultSettings), '');
  });

  it('names what differs, as the command line takes it', () => {
    const settings = changed(defaultSettings, {
      concurrency: 5,
      rate: { limit: 100, per: 60_000, burst: 20 },
      keys: { concurrency: null, rate: { limit: 0.5, per: 1_500 }, onFailure: 'park', weights: { acme: 2 } },
      maxCrashes: 1,
      retention: { discarded: { age: 7 * 86_400_000, count: 0 } },
      events: 1_000,
    });
    assert.equal(
      settingsText(settings),
      'concurrency=5 rate=100/1m/20 keys.concurrency=none keys.rate=0.5/1500ms keys.onFailure=park keys.weights.acme=2 maxCrashes=1 retention.discarded.count=0 retention.discarded.age=7d events=1000',
    );
  });
});
