/** A MetaImage file that cannot be used; the message says which rule it broke and what to do. */
export class MhaError extends Error {
  override readonly name = 'MhaError';
}
