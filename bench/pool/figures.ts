/** What children of this bench are told; what they measure is the same as everywhere. */
export * from '../figures.ts';

/** What a child is to do. `jobs` and all names come from sections.ts. */
export interface Spec {
  readonly measure: string;
  /** A key of the adapters: local.ts for pools of functions, threads.ts for threads. */
  readonly pool: string;
  readonly jobs: number;
  /** A file of tasks/, where threads work. */
  readonly task?: string;
  readonly threads?: number;
  /** Of the adapter, in its own words. */
  readonly settings?: Readonly<Record<string, unknown>>;
}
