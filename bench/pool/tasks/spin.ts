/** Work for one core and no memory: so many steps of a random number generator (xorshift, Marsaglia 2003). */
export default function spin({ steps }: { readonly steps: number }): number {
  let x = 1;
  for (let i = 0; i < steps; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
  }
  return x;
}
