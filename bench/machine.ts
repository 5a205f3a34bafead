import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

/** One line: cores, memory, system. */
export function machine(): string {
  const [cpu] = cpus();
  return `${cpus().length} × ${cpu?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`;
}

/**
 * From now on: CPU that other programs use, in % of one core. Children of this process count as its own once they have
 * ended. Undefined where there is no /proc.
 */
export function foreignCpu(): (() => number) | undefined {
  const at = performance.now();
  const before = ticks();
  if (before === undefined) return undefined;
  return () => {
    // A tick is 10 ms, wherever Node runs on Linux.
    const seconds = ((ticks() ?? before) - before) / 100;
    return Math.max(0, (100 * seconds) / ((performance.now() - at) / 1000));
  };
}

/** Of all cores and for whomever, without what this process and its children used. */
function ticks(): number | undefined {
  try {
    const [user, nice, system, , , irq, softirq] = fieldsOf(readFileSync('/proc/stat', 'latin1').split('\n')[0] ?? '');
    // The program's name, which may hold anything, ends with the last bracket; the times are fields 14 to 17.
    const own = fieldsOf(readFileSync('/proc/self/stat', 'latin1').replace(/^.*\) \S+/s, '')).slice(10, 14);
    return sum([user, nice, system, irq, softirq]) - sum(own);
  } catch {
    return undefined;
  }
}

const fieldsOf = (line: string) => (line.match(/\d+/g) ?? []).map(Number);
const sum = (values: readonly (number | undefined)[]) =>
  values.reduce<number>((total, value) => total + (value ?? 0), 0);
