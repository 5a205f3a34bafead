/** Many runs of many contenders, interleaved so that a busy moment of the machine meets every one of them. */

/**
 * Runs each contender once a round; the runs by its name. One that fails is told of, and sits out the rounds that are
 * left.
 */
export async function inRounds<C extends { readonly name: string }, Run>(
  contenders: readonly C[],
  rounds: number,
  runOnce: (contender: C) => Promise<Run>,
  tell: (contender: C, round: number, run: Run | Error) => void,
): Promise<Map<string, Run[]>> {
  const runs = new Map<string, Run[]>(contenders.map(({ name }) => [name, []]));
  const fit = new Set(contenders);
  for (let round = 1; round <= rounds; round++) {
    for (const contender of fit) {
      try {
        const run = await runOnce(contender);
        runs.get(contender.name)?.push(run);
        tell(contender, round, run);
      } catch (error) {
        fit.delete(contender);
        tell(contender, round, error as Error);
      }
    }
  }
  return runs;
}
