/** What went wrong between Precess and a PACS. Messages name hosts and counts, never UIDs or people. */
export class PacsError extends Error {
  override readonly name: string = 'PacsError';
}

/** A failure that may be gone at the next try: a lost connection, a busy server. */
export class TransientError extends PacsError {
  override readonly name: string = 'TransientError';

  constructor(
    message: string,
    /** How long the server asked to wait (Retry-After), in ms; null where it did not say. */
    readonly retryAfterMs: number | null = null,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
