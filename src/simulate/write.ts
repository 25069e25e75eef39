/** Simulated studies as DICOM files. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeDicomSeries } from '../formats/dicom/index.js';
import type { SimulatedStudy } from './study.js';

export interface WrittenStudy {
  readonly files: readonly string[];
  readonly reportFile?: string;
}

export interface WriteStudyOptions {
  /** Also writes report.txt, the report of the study, beside the folders of its series. */
  readonly report?: boolean;
}

/**
 * Writes each series into a folder of its own under `dir` (series-02, series-03, ...), one file a slice; missing
 * slices have no file. What a series shows is in Image Comments (0020,4000) of each of its files.
 */
export async function writeStudy(
  dir: string,
  study: SimulatedStudy,
  options: WriteStudyOptions = {},
): Promise<WrittenStudy> {
  const files: string[] = [];
  for (const { volume, header } of study.series) {
    const folder = join(dir, `series-${String(header.seriesNumber).padStart(2, '0')}`);
    files.push(...(await writeDicomSeries(folder, volume, header)));
  }
  if (options.report !== true) return { files };
  const reportFile = join(dir, 'report.txt');
  await mkdir(dir, { recursive: true });
  await writeFile(reportFile, `${study.report}\n`);
  return { files, reportFile };
}
