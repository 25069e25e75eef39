/** A rule of evaluation was broken by the input: one class only, lengths that differ, a patient on both sides. */
export class EvaluateError extends Error {
  override readonly name = 'EvaluateError';
}
