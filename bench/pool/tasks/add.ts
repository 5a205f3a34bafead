/** The smallest task there is. */
export default function add({ a, b }: { readonly a: number; readonly b: number }): number {
  return a + b;
}
