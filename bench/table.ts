/** What every bench prints: medians in a Markdown table, and sentences about targets. */

/** A heading, and the cell of a row; `''` for nothing. `reference` is the row that ratios refer to. */
export type Column<Row> = readonly [title: string, cell: (row: Row, reference: Row | undefined) => string];

/** A table, aligned to be read as text too. A column that nobody fills is left out. */
export function formatTable<Row>(
  columns: readonly Column<Row>[],
  rows: ReadonlyMap<string, Row>,
  reference?: string,
): string {
  const against = reference === undefined ? undefined : rows.get(reference);
  const filled = columns
    .map(([title, cell]) => [title, ...Array.from(rows.values(), (row) => cell(row, against))])
    .filter(([, ...cells]) => cells.some((cell) => cell !== ''));
  const names = ['', ...rows.keys()];
  const width = (cells: readonly string[]) => Math.max(...cells.map((cell) => cell.length));
  const lines = names.map((name, row) => {
    const cells = filled.map((column) => (column[row] as string).padStart(width(column)));
    return `| ${[name.padEnd(width(names)), ...cells].join(' | ')} |`;
  });
  const rule = `|${[width(names), ...filled.map(width)].map((n) => '-'.repeat(n + 2)).join('|')}|`;
  return [lines[0], rule, ...lines.slice(1)].join('\n');
}

/** The middle of the values; of two middles the lower. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? Number.NaN;
}

export function whole(value: number | undefined): string {
  return value === undefined ? '' : Math.round(value).toLocaleString('en');
}

/** `value` is undefined when what it needs was not run. */
export function atLeast(what: string, value: number | undefined, target: number): string {
  return verdict(what, value, `≥ ${figure(target)}`, value !== undefined && value >= target);
}

export function atMost(what: string, value: number | undefined, target: number): string {
  return verdict(what, value, `≤ ${figure(target)}`, value !== undefined && value <= target);
}

function verdict(what: string, value: number | undefined, target: string, met: boolean): string {
  return value === undefined
    ? `${what}: not run (target ${target})`
    : `${what}: ${figure(value)} (target ${target}: ${met ? 'met' : 'MISSED'})`;
}

export function figure(value: number): string {
  return value < 100 ? value.toFixed(2) : whole(value);
}
