/** The index of a medium (PS3.3 annex F, PS3.10 section 8.6: a file called DICOMDIR). */
import { readBytes } from '../bytes.js';
import { parseHeader } from './instance.js';

const DIRECTORY_RECORDS = 0x00041220;
const REFERENCED_FILE = 0x00041500;

/**
 * The files that a DICOMDIR names (Referenced File ID, PS3.3 F.3.2.2), each as its folders and its name from the folder
 * of the DICOMDIR on; null where the DICOM file at `path` is no DICOMDIR.
 *
 * @throws DicomError when the file cannot be parsed.
 */
export async function readDicomDir(path: string): Promise<string[][] | null> {
  const bytes = await readBytes(path);
  const { dataSet } = parseHeader(bytes, bytes.length, path);
  if (!dataSet.has(DIRECTORY_RECORDS)) return null;
  return dataSet
    .sequence(DIRECTORY_RECORDS)
    .map((record) => record.texts(REFERENCED_FILE))
    .filter((components) => components.length > 0);
}
