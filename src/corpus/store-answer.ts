/** What a thread or another process says of a series that it was to store, as plain data. */
import type { StoredVoxels } from './store-series.js';

/** `failed` is an error that must stop the ingest, such as a full disk. */
export type StoreAnswer =
  | { readonly stored: StoredVoxels | string }
  | { readonly failed: { readonly message: string; readonly code: string | undefined } };

export async function answerOf(storing: Promise<StoredVoxels | string>): Promise<StoreAnswer> {
  try {
    return { stored: await storing };
  } catch (error) {
    return failureOf(error);
  }
}

export function failureOf(error: unknown): StoreAnswer {
  const message = error instanceof Error ? error.message : String(error);
  return { failed: { message, code: (error as NodeJS.ErrnoException).code } };
}

/** @throws what failed. */
export function resultOf(answer: StoreAnswer): StoredVoxels | string {
  if ('stored' in answer) return answer.stored;
  const { message, code } = answer.failed;
  throw Object.assign(new Error(message), code === undefined ? {} : { code });
}
