/**
 * Any validator that speaks Standard Schema v1 (Zod, Valibot, ArkType, …), as an interface and nothing more.
 * Specification: https://standardschema.dev
 */
import { MillraceError } from '../errors.ts';

export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** The value as the schema makes it (defaults filled in, …). Throws PAYLOAD_INVALID with every issue. */
export async function validate<T>(job: string, schema: StandardSchema<unknown, T>, value: unknown): Promise<T> {
  return accepted(job, await schema['~standard'].validate(value));
}

/** What the schema made of the value. Throws PAYLOAD_INVALID with every issue. */
export function accepted<T>(job: string, result: SchemaResult<T>): T {
  if (!result.issues) return result.value;
  throw new MillraceError('PAYLOAD_INVALID', { name: job, issues: result.issues.map(sentence) });
}

function sentence(issue: SchemaIssue): string {
  const path = (issue.path ?? []).map((step) => String(typeof step === 'object' ? step.key : step)).join('.');
  return path ? `${path}: ${issue.message}` : issue.message;
}
