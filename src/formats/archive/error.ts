/** A zip or tar archive that cannot be used; the message says which rule it broke and what to do. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError';
}
