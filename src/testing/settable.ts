/** A machine whose clock somebody sets, on or back: `jump` moves what `now` says, while timers and durations go on as before. */
import { type Clock, VirtualClock } from '../clock.ts';

/** @param virtual what goes on */
export function settable(virtual = new VirtualClock()) {
  let set = 0;
  const clock: Clock = {
    now: () => virtual.now() + set,
    monotonic: () => virtual.monotonic(),
    timer: (ms, fire) => virtual.timer(ms, fire),
  };
  const jump = (ms: number) => {
    set += ms;
  };
  return { clock, now: clock.now, advance: (ms: number) => virtual.advance(ms), jump };
}
