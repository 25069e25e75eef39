/** Errors as reasons in a list of what was left out. */
import { basename } from 'node:path';

/** An error in words without the absolute path, which the list shows beside it. */
export function reasonOf(error: unknown, path: string): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'EACCES' || code === 'EPERM') return 'cannot be read: no permission';
  if (code === 'Z_BUF_ERROR' || code === 'Z_DATA_ERROR') return 'its gzip data is damaged or cut off';
  const message = error instanceof Error ? error.message : String(error);
  return message
    .replaceAll(path, 'it')
    .replace(/\S*[/\\]\S*/g, (word) =>
      word.startsWith('/') || /^[A-Z]:\\/i.test(word) ? basename(word) : word,
    )
    .replace(/^read (DICOM|NIfTI): (?:it )?/, '');
}
