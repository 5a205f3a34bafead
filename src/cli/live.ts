/** The one line that a terminal shows while `serve` runs, redrawn every second. */
import type { Clock, Timer } from '../clock.ts';

/** Totals since the start, and what waits now. */
export interface Totals {
  readonly accepted: number;
  readonly waiting: number;
  readonly uploaded: number;
  readonly failed: number;
}

const EVERY = 1_000;

/** Calls `write` with a line of rates every second until the returned function is called. */
export function liveLine(clock: Clock, totals: () => Totals, write: (text: string) => void): () => void {
  let last: (Totals & { at: number }) | undefined;
  let timer: Timer;
  const draw = () => {
    const now = { ...totals(), at: clock.monotonic() };
    if (last) write(`\r\x1b[K${line(last, now)}`);
    last = now;
    timer = clock.timer(EVERY, draw);
  };
  draw();
  return () => {
    timer.cancel();
    write('\r\x1b[K');
  };
}

function line(last: Totals & { at: number }, now: Totals & { at: number }): string {
  const seconds = Math.max(0.001, (now.at - last.at) / 1000);
  const rate = (key: 'accepted' | 'uploaded') => Math.round((now[key] - last[key]) / seconds).toLocaleString('en');
  const waiting = now.waiting.toLocaleString('en');
  return `accepted ${rate('accepted')}/s · waiting ${waiting} · uploading ${rate('uploaded')}/s · failed ${now.failed.toLocaleString('en')}`;
}
