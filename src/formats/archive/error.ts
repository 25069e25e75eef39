/** A zip or tar archive that cannot be used; the message says which rule it broke and what to do. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError';
}

/** What is thrown when the compressed data of `name` cannot be inflated to its end. */
export const damagedStream =
  (name: string) =>
  (cause: unknown): ArchiveError =>
    new ArchiveError(
      `read archive: the compressed data of ${name} must be whole, but it is damaged or cut off; copy the archive ` +
        'again from its source',
      { cause },
    );
