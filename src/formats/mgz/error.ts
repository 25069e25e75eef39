/** An MGH file that cannot be used; the message says which rule it broke and what to do. */
export class MgzError extends Error {
  override readonly name = 'MgzError';
}
