/** What is told when a loss or gradient stops being finite: where, how large the gradients are, and what was shown. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Params } from '../nn/index.js';

/** Everything about the failed step, in a file of the run folder. */
export const FAILURE_FILE = 'failure.json';

export interface Failure {
  readonly step: number;
  readonly gradNorm: number;
  /** Ids of the series of the step, in its order, over all ranks. */
  readonly series: readonly string[];
  /** Length of the gradient of each tensor; "NaN" and "Infinity" are words, which JSON has no numbers for. */
  readonly gradientNorms: Readonly<Record<string, number | string>>;
  /** Tensors whose gradient is not finite. */
  readonly notFinite: readonly string[];
  /** And the losses. */
  readonly [loss: string]: unknown;
}

export function normsOf(
  params: Params,
  gradient: Float32Array,
): Pick<Failure, 'gradientNorms' | 'notFinite'> {
  const gradientNorms: Record<string, number | string> = {};
  const notFinite: string[] = [];
  for (const { name, offset, size } of params.slices) {
    let sum = 0;
    for (let n = offset; n < offset + size; n++) sum += gradient[n]! * gradient[n]!;
    gradientNorms[name] = word(Math.sqrt(sum));
    if (!Number.isFinite(sum)) notFinite.push(name);
  }
  return { gradientNorms, notFinite };
}

const word = (value: number): number | string =>
  Number.isFinite(value) ? Number(value.toPrecision(6)) : String(value);

export async function writeFailure(run: string, failure: Failure): Promise<void> {
  const text = JSON.stringify(
    failure,
    (_, value: unknown) => (typeof value === 'number' ? word(value) : value),
    2,
  );
  await writeFile(join(run, FAILURE_FILE), `${text}\n`);
}

const some = (names: readonly string[], most = 5): string =>
  names.length <= most
    ? names.join(', ')
    : `${names.slice(0, most).join(', ')} and ${names.length - most} more`;

/** The message of the error: what to look at and what to do. */
export function notFinite(run: string, failure: Failure, savedAt: number): string {
  const { step, series, gradientNorms, notFinite: bad, gradNorm, ...rest } = failure;
  const losses = Object.entries(rest)
    .filter(([, value]) => typeof value === 'number')
    .map(([name, value]) => `${name} ${String(value)}`);
  const norms = Object.entries(gradientNorms)
    .filter((one): one is [string, number] => typeof one[1] === 'number')
    .sort((a, b) => b[1] - a[1])
    .map(([name, value]) => `${name} ${value.toPrecision(3)}`);
  const gradients =
    bad.length > 0
      ? `the gradient is not finite in ${some(bad)} (of ${Object.keys(gradientNorms).length} tensors)`
      : 'every gradient is finite';
  return (
    `train: losses and gradients must be finite, got ${losses.join(', ')}, gradient norm ${String(gradNorm)} at step ${step}; ` +
    `${gradients}${norms.length > 0 ? `, the largest finite ones are ${some(norms)}` : ''}; ` +
    `the batch held the series ${some(series, 32)} (all in ${join(run, FAILURE_FILE)}); ` +
    `look at these series, lower --learning-rate, or go on with --resume from the checkpoint of step ${savedAt}`
  );
}
