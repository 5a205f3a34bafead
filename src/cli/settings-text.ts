/** The settings of a queue in one line: those that are not the defaults, as `millrace limit` takes them. */
import { defaultSettings, endedStates, type QueueSettings, type Rate } from '../backend/settings.ts';

export function settingsText(settings: QueueSettings): string {
  const { keys, retention } = settings;
  const parts = [
    ['concurrency', settings.concurrency, defaultSettings.concurrency],
    ['rate', rateText(settings.rate), 'none'],
    ['keys.concurrency', keys.concurrency, defaultSettings.keys.concurrency],
    ['keys.rate', rateText(keys.rate), 'none'],
    ['keys.onFailure', keys.onFailure, defaultSettings.keys.onFailure],
    ...Object.entries(keys.weights).map(([key, weight]) => [`keys.weights.${key}`, weight, undefined] as const),
    ['maxCrashes', settings.maxCrashes, defaultSettings.maxCrashes],
    ...endedStates.flatMap((state) => {
      const [keep, usual] = [retention[state], defaultSettings.retention[state]];
      return [
        [`retention.${state}.count`, keep.count, usual.count],
        [`retention.${state}.age`, timeText(keep.age), timeText(usual.age)],
      ] as const;
    }),
    ['events', settings.events, defaultSettings.events],
  ] as const;
  return parts
    .filter(([, value, usual]) => value !== usual)
    .map(([name, value]) => `${name}=${value ?? 'none'}`)
    .join(' ');
}

function rateText(rate: Rate | null): string {
  if (!rate) return 'none';
  const { limit, per, burst } = rate;
  return `${limit}/${timeText(per)}${burst === undefined ? '' : `/${burst}`}`;
}

const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const;

function timeText(ms: number): string {
  const [unit, size] = units.find((each) => ms > 0 && ms % each[1] === 0) ?? ['ms', 1];
  return `${ms / size}${unit}`;
}
