/** Learning rates and momenta as functions of the step. */

export interface WarmupCosine {
  readonly peak: number;
  /** Reached at `totalSteps` and kept after; 0 unless said. */
  readonly floor?: number;
  readonly warmupSteps: number;
  readonly totalSteps: number;
}

/**
 * Value at `step` (the first is 1): a straight line from 0 to `peak` at `warmupSteps`, then half a cosine down to
 * `floor` at `totalSteps` (Loshchilov & Hutter 2017, without restarts).
 */
export function warmupCosine(step: number, schedule: WarmupCosine): number {
  const { peak, floor = 0, warmupSteps, totalSteps } = schedule;
  if (step < warmupSteps) return (peak * step) / warmupSteps;
  const done = Math.min((step - warmupSteps) / Math.max(totalSteps - warmupSteps, 1), 1);
  return floor + ((peak - floor) * (1 + Math.cos(Math.PI * done))) / 2;
}
