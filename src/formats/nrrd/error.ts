/** An NRRD file that cannot be used; the message says which rule it broke and what to do. */
export class NrrdError extends Error {
  override readonly name = 'NrrdError';
}
