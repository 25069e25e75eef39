/** Series of a corpus to de-identified DICOM files. */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type MrHeader, writeDicomSeries } from '../formats/dicom/index.js';
import { type DicomNode, textNode } from '../formats/dicom/tree.js';
import type { Corpus } from './corpus.js';
import { methodNodes } from './deidentify/dicom.js';
import { uidFor } from './deidentify/keyed.js';
import { resolveOptions } from './deidentify/profile.js';
import { type Exported, exportEach, type ExportOptions } from './export.js';
import { readKey } from './pseudonym.js';
import type { Series } from './series.js';

/**
 * Writes each series as MR Image Storage, one file a slice, in `<patient>/<study>/<series>/00001.dcm …` with all that the
 * corpus knows of it in `<series>.json` beside that folder. Names and ids are the corpus's pseudonyms, UIDs come from
 * them under the corpus's key, the date is the shifted one. A missing slice is a missing file, and its number in the
 * file name and Instance Number is left out; other unmeasured voxels have the Pixel Padding Value (0028,0120). What the
 * corpus does not keep (times of the sequence, flip angle) is empty.
 *
 * Integers of 16 bits and less are exact; others are spread over 16 bits. A folder appears whole or not at all.
 *
 * @throws CorpusError as `exportNifti` does.
 */
export async function exportDicom(
  corpus: Pick<Corpus, 'volume' | 'dir'>,
  all: readonly Series[],
  options: ExportOptions,
): Promise<Exported> {
  const key = await readKey(corpus.dir);
  const studyOf = (series: Series): string => join(options.dir, series.patientId, series.studyId);
  return exportEach(all, options, {
    paths: (series) => [join(studyOf(series), series.id), join(studyOf(series), `${series.id}.json`)],
    write: async (series) => {
      const study = studyOf(series);
      const partial = join(study, `.${series.id}.partial`);
      await mkdir(study, { recursive: true });
      try {
        await rm(partial, { recursive: true, force: true });
        await writeDicomSeries(partial, await corpus.volume(series.id), headerOf(series, key));
        await rm(join(study, series.id), { recursive: true, force: true });
        await writeFile(join(study, `${series.id}.json`), `${JSON.stringify(series, null, 2)}\n`);
        await rename(partial, join(study, series.id));
      } finally {
        await rm(partial, { recursive: true, force: true });
      }
    },
  });
}

function headerOf(series: Series, key: Uint8Array): MrHeader {
  const axis = (name: string): number | undefined => {
    const value = series.axes.find((one) => one.name === name)?.value;
    return typeof value === 'number' ? value : undefined;
  };
  const bValue = axis('b-value');
  return {
    patientId: series.patientId,
    patientName: series.patientId,
    birthDate: '',
    sex: series.sex ?? '',
    studyUid: uidFor(key, series.studyId),
    seriesUid: uidFor(key, series.id),
    // The corpus does not say which series of a study share one.
    frameOfReferenceUid: uidFor(key, `frame of ${series.id}`),
    studyDate: series.date?.replaceAll('-', '') ?? '',
    manufacturer: series.manufacturer,
    model: '',
    fieldStrengthT: series.fieldStrengthT,
    seriesDescription: series.description,
    protocolName: series.description,
    bodyPart: series.bodyPart === 'UNKNOWN' ? '' : series.bodyPart,
    sequenceName: '',
    // Research Mode: how the image was made is not known any more (PS3.3 C.8.3.1.1.2 has no empty value).
    scanningSequence: 'RM',
    imageType: ['ORIGINAL', 'PRIMARY', 'OTHER'],
    repetitionTime: null,
    echoTime: null,
    flipAngle: null,
    sliceThickness: series.spacingMm[2],
    seriesNumber: 1,
    ...(bValue !== undefined && { diffusionBValue: bValue }),
    comments: series.text,
    skipSlices: series.missingSlices,
    more: recorded(series),
  };
}

/** How the series was de-identified, the age where it is kept, and whether a face can still be recognised. */
function recorded(series: Series): DicomNode[] {
  const kept = series.sex !== null || series.ageYears !== null;
  const options = resolveOptions({
    modifiedDates: series.date !== null,
    patientCharacteristics: kept,
    deviceIdentity: false,
    safePrivate: false,
  });
  const age = series.ageYears === null ? null : Math.min(90, Math.floor(series.ageYears));
  return [
    ...methodNodes(options),
    ...(age === null ? [] : [textNode(0x00101010, 'AS', `${String(age).padStart(3, '0')}Y`)]),
    ...(series.defaced ? [textNode(0x00280302, 'CS', 'NO')] : []),
  ];
}
