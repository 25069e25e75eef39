/** A corpus, or something meant for one, that cannot be used; the message says which rule it broke and what to do. */
export class CorpusError extends Error {
  override readonly name = 'CorpusError';
}

/** The service that keeps a corpus is away or refuses: nothing is known to be wrong with the corpus itself. */
export class ServiceError extends CorpusError {}

/** What LanceDB says of a service, several pages of causes, in words; an error of another kind comes back as it is. */
export function tableFailure(corpus: string, error: unknown): unknown {
  const message = error instanceof Error ? error.message : String(error);
  if (!/Generic S3 error/.test(message)) return error;
  const status = /status code: (\d+)/.exec(message)?.[1];
  const code = /<Code>(\w+)<\/Code>/.exec(message)?.[1] ?? '';
  const cause = message.split('Caused by: ').at(-1)!.trim().split('\n')[0]!.slice(0, 200);
  return new ServiceError(
    status === undefined
      ? `series table: ${corpus} must be reachable, got "${cause}"; check AWS_ENDPOINT_URL and the network`
      : `series table: ${corpus} must allow it, got ${`${status} ${code}`.trim()}; check the bucket, AWS_ACCESS_KEY_ID ` +
          'and AWS_SECRET_ACCESS_KEY, and what they may do',
    { cause: error },
  );
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
