/** What the jobs of the benches carry. */

/** 223 bytes of JSON, whatever the number. */
export interface Letter {
  /** Which of all jobs of a run it is, in twelve digits: what arrived is looked up by it. */
  readonly number: string;
  readonly kind: string;
  readonly to: string;
  readonly template: string;
  readonly locale: string;
  readonly attempt: number;
  readonly urgent: boolean;
  readonly tags: readonly string[];
}

export function letterOf(number: number): Letter {
  const digits = String(number).padStart(12, '0');
  return {
    number: digits,
    kind: 'welcome letter',
    to: `reader-${digits}@letters.example.org`,
    template: 'letters/welcome/the-first-week.html',
    locale: 'en-GB',
    attempt: 1,
    urgent: false,
    tags: ['front pages', 'holidays'],
  };
}

/** The letters `from` to `to`, the latter excluded. */
export function lettersOf(from: number, to: number): Letter[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, i) => letterOf(from + i));
}
