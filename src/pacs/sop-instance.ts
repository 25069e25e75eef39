/** Which instance a DICOM file is. */
import { parseHeader } from '../formats/dicom/instance.js';
import { PacsError } from './error.js';

export interface Identity {
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  readonly studyUid: string;
  readonly seriesUid: string;
}

/** What names a DICOM file in memory. @throws PacsError when it is none; the message says nothing of its content. */
export function identityOf(file: Uint8Array): Identity {
  try {
    const { dataSet } = parseHeader(file, file.length, 'an instance');
    const of = (tag: number): string => dataSet.text(tag);
    return {
      sopClassUid: of(0x00080016),
      sopInstanceUid: of(0x00080018),
      studyUid: of(0x0020000d),
      seriesUid: of(0x0020000e),
    };
  } catch (error) {
    throw new PacsError(
      `receive an instance: it must be a DICOM file, got ${file.length} bytes that cannot be read as one`,
      { cause: error },
    );
  }
}

export const sopInstanceUid = (file: Uint8Array): string => identityOf(file).sopInstanceUid;
