/** A task cannot be done with what it was given. */
export class TaskError extends Error {
  override readonly name = 'TaskError';
}
