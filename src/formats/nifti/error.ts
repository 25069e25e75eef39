/** A NIfTI file that cannot be used; the message says which rule it broke and what to do. */
export class NiftiError extends Error {
  override readonly name = 'NiftiError';
}
