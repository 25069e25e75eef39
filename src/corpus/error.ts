/** A corpus, or something meant for one, that cannot be used; the message says which rule it broke and what to do. */
export class CorpusError extends Error {
  override readonly name = 'CorpusError';
}

const codeOf = (error: unknown): string =>
  (error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined) ?? '';

const DISK_FULL = /no space left|os error 28|disk quota/i;
const NOT_ALLOWED = /permission denied|read-only file system|os error (13|30)\b/i;

/**
 * A failure to write into the corpus at `dir` in words. LanceDB reports the system's errors as text, Node as codes;
 * an error of another kind comes back as it is.
 */
export function writeFailure(doing: string, dir: string, error: unknown): unknown {
  if (error instanceof CorpusError) return error;
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  if (code === 'ENOSPC' || code === 'EDQUOT' || DISK_FULL.test(message))
    return new CorpusError(
      `${doing}: the disk that holds ${dir} must have room, but it is full; free some space and run the same ` +
        'command again (what is already stored is complete and is not added twice)',
      { cause: error },
    );
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS' || NOT_ALLOWED.test(message))
    return new CorpusError(
      `${doing}: ${dir} must be writable, but it is read-only for this user; check its owner and mode, or name ` +
        'another corpus',
      { cause: error },
    );
  return error;
}
