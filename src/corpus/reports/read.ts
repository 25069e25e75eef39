/** Finds and reads the reports under what a person names. */
import { isUtf8 } from 'node:buffer';
import { readBytes } from '../../formats/bytes.js';
import { isDicom } from '../../formats/dicom/start.js';
import { splitReport } from '../../text/report-sections.js';
import { reasonOf } from '../reason.js';
import { walk } from '../walk.js';
import type { Columns } from './columns.js';
import { daysOf, type FoundReport, type SkippedReport } from './found.js';
import { structuredReport } from './sr.js';
import { tableReports } from './table.js';

const TABLE = /\.(csv|tsv|tab|jsonl|ndjson|json)$/i;
const TEXT = /\.(txt|text|md|rpt)$/i;
/** Tables may be large; what is read whole as one report is not. */
const LARGEST_TABLE = 2 ** 31;
const LARGEST_REPORT = 1 << 20;
/** A structured report refers to images, and holds none. */
const LARGEST_DOCUMENT = 16 * 2 ** 20;

export interface Reports {
  readonly found: FoundReport[];
  readonly skipped: SkippedReport[];
}

/**
 * Every report under `sources`: DICOM structured reports by content, tables (CSV, TSV, JSON lines, JSON) a report a row,
 * text files a report each. What cannot be read is listed with the reason.
 *
 * @throws CorpusError when a source does not exist, or a column that `columns` names is not in a table.
 */
export async function readReports(sources: readonly string[], columns: Columns = {}): Promise<Reports> {
  const found: FoundReport[] = [];
  const skipped: SkippedReport[] = [];
  for await (const file of walk(sources, '', (one) => skipped.push(one))) {
    const skip = (reason: string): void => void skipped.push({ path: file.shown, reason });
    try {
      if (TABLE.test(file.path)) {
        if (file.size > LARGEST_TABLE) skip('a table of more than 2 GiB; split it');
        else found.push(...(await tableReports(await readBytes(file.path), file.shown, columns, skipped)));
      } else if (TEXT.test(file.path)) {
        if (file.size > LARGEST_REPORT) skip('a text of more than 1 MiB is no report');
        else {
          const root = sources[file.source]!;
          found.push(textReport(await readBytes(file.path), file.shown, pathUnder(root, file.shown)));
        }
      } else if (file.size <= LARGEST_DOCUMENT) {
        const bytes = await readBytes(file.path);
        if (!isDicom(bytes)) skip('neither a text, a table nor a DICOM file');
        else {
          const report = structuredReport(bytes, file.shown);
          if (typeof report !== 'string') found.push(report);
          // Images beside their reports are not worth a line each.
          else if (report !== 'a DICOM file that is no report') skip(report);
        }
      }
    } catch (error) {
      if (error instanceof Error && error.name === 'CorpusError') throw error;
      skip(error instanceof SyntaxError ? 'is not the JSON that its name says' : reasonOf(error, file.path));
    }
  }
  return { found, skipped };
}

/** The way from the source down to the file, without its ending; the name of a file that is the source itself. */
function pathUnder(root: string, shown: string): string {
  const way = shown.startsWith(root) ? shown.slice(root.length) : shown;
  const path = way.replace(/^[\\/]+/, '') || shown.split(/[\\/]/).pop()!;
  return path.replace(/\.[^.\\/]+$/, '');
}

const LABELS: Readonly<Record<'accession' | 'patient' | 'date', RegExp>> = {
  accession: /^\W*(?:accession|acc)\.?\s*(?:number|no\.?|nr\.?|#)?\s*[:#]\s*([\w.-]+)\s*$/im,
  patient: /^\W*(?:patient\s*(?:id|number|nr\.?)|mrn|patienten-?nr\.?|pid)\s*[:#]\s*([\w.-]+)\s*$/im,
  date: /^\W*(?:(?:study|exam(?:ination)?)\s*date|date of (?:exam(?:ination)?|study)|untersuchungsdatum)\s*:\s*([\d./-]+)\s*$/im,
};

/**
 * A text file as a report. Its name stands for whatever it equals (an accession number, a Study Instance UID, a patient),
 * unless lines such as "Accession: 4711" say it; those lines are no part of the text.
 */
export function textReport(bytes: Uint8Array, shown: string, path: string): FoundReport {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    .toString(isUtf8(bytes) ? 'utf8' : 'latin1')
    .replace(/^\uFEFF/, '');
  const name = path.split(/[\\/]/).pop()!;
  const said = (label: keyof typeof LABELS): string => LABELS[label].exec(text)?.[1] ?? '';
  const accession = said('accession');
  const patient = said('patient');
  const body = Object.values(LABELS).reduce((rest, pattern) => rest.replace(pattern, ''), text);
  return {
    keys: {
      accession: accession || name,
      studyUid: name,
      patient: patient || name,
      dates: daysOf(said('date')),
      path,
    },
    sections: splitReport(body),
    identifying: [accession, patient, name].filter((one) => one !== ''),
    shown,
  };
}
