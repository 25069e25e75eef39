/** Sends DICOM files to a PACS (STOW-RS, PS3.18 section 10.5). */
import { randomUUID } from 'node:crypto';
import type { DicomWebClient, JsonDataSet } from './client.js';
import { checked } from './query.js';

export interface StoreResult {
  /** Instances that the server has now. */
  readonly stored: number;
  readonly failed: readonly {
    readonly sopInstanceUid: string;
    /** Failure Reason (0008,1197), PS3.18 table I.2-2; null where the server gives none. */
    readonly reason: number | null;
  }[];
}

/** A request is closed at this size, so that no server has to take an archive at once. */
const REQUEST_BYTES = 64 * 2 ** 20;

/**
 * Stores DICOM files, in requests of up to 64 MiB (a larger file alone). Storing an instance again changes nothing,
 * so requests that fail for a moment are sent again.
 *
 * @param studyUid Where given, the server takes instances of this study only.
 * @throws PacsError when the server refuses or does not answer in the end. Instances that it does not take are listed.
 */
export async function storeInstances(
  client: DicomWebClient,
  files: Iterable<Uint8Array>,
  studyUid?: string,
): Promise<StoreResult> {
  const path = studyUid === undefined ? '/studies' : `/studies/${checked(studyUid)}`;
  let stored = 0;
  const failed: StoreResult['failed'][number][] = [];
  for (const batch of batches(files)) {
    const boundary = `precess-${randomUUID()}`;
    const head = Buffer.from(`--${boundary}\r\nContent-Type: application/dicom\r\n\r\n`);
    const body = batch.flatMap((file) => [head, file, Buffer.from('\r\n')]);
    body.push(Buffer.from(`--${boundary}--\r\n`));
    const type = `multipart/related; type="application/dicom"; boundary=${boundary}`;
    const answer = await client.post(path, type, body, 'store instances');
    stored += items(answer, '00081199').length;
    for (const one of items(answer, '00081198')) {
      const uid = first(one, '00081155');
      const reason = first(one, '00081197');
      failed.push({
        sopInstanceUid: typeof uid === 'string' ? uid : '',
        reason: typeof reason === 'number' ? reason : null,
      });
    }
  }
  return { stored, failed };
}

function* batches(files: Iterable<Uint8Array>): Generator<Uint8Array[]> {
  let batch: Uint8Array[] = [];
  let size = 0;
  for (const file of files) {
    if (batch.length > 0 && size + file.length > REQUEST_BYTES) {
      yield batch;
      batch = [];
      size = 0;
    }
    batch.push(file);
    size += file.length;
  }
  if (batch.length > 0) yield batch;
}

/** Referenced SOP Sequence (0008,1199): stored; Failed SOP Sequence (0008,1198): not (PS3.18 table I.1-1). */
const items = (dataSet: JsonDataSet, tag: string): JsonDataSet[] =>
  (dataSet[tag]?.Value ?? []) as JsonDataSet[];

const first = (dataSet: JsonDataSet, tag: string): unknown => dataSet[tag]?.Value?.[0];
