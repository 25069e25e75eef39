/** A report as it is found, with what it can be matched by; in memory only. */
import type { ReportSections } from '../../text/report-sections.js';

/** What a source says a report is about; '' or empty where it says nothing. Original identifiers, never stored. */
export interface ReportKeys {
  readonly accession: string;
  readonly studyUid: string;
  readonly patient: string;
  /** Day of the study as YYYYMMDD; several where the writing leaves open which ("03/04/2021"). */
  readonly dates: readonly string[];
  /** Where it lies under its source, or what its table says of the image's path; without ending. */
  readonly path: string;
}

export interface FoundReport {
  readonly keys: ReportKeys;
  /** As written; not yet cleaned. */
  readonly sections: ReportSections;
  /** Names, numbers and dates of people that stand beside the text, to be taken out of it. */
  readonly identifying: readonly string[];
  /** For messages to the person only. */
  readonly shown: string;
}

/** Why something that could have been a report is none. */
export interface SkippedReport {
  readonly path: string;
  readonly reason: string;
}

/**
 * A day as YYYYMMDD. DICOM's and ISO's writing, d.m.y and d-m-y are taken as they are; of "03/04/2021" both readings are
 * given, because Britain and America differ. Empty for anything else.
 */
export function daysOf(text: string): string[] {
  const value = text.trim();
  const ymd =
    /^(\d{4})[-./]?(\d{2})[-./]?(\d{2})(?:\D.*)?$/.exec(value) ?? /^(\d{4})(\d{2})(\d{2})\d*$/.exec(value);
  if (ymd !== null) return day(ymd[1]!, ymd[2]!, ymd[3]!);
  const dmy = /^(\d{1,2})([-./])(\d{1,2})\2(\d{4})(?:\s.*)?$/.exec(value);
  if (dmy === null) return [];
  const [, first, mark, second, year] = dmy;
  const european = day(year!, second!, first!);
  return [...new Set(mark === '/' ? [...european, ...day(year!, first!, second!)] : european)];
}

function day(year: string, month: string, date: string): string[] {
  const fits = Number(month) >= 1 && Number(month) <= 12 && Number(date) >= 1 && Number(date) <= 31;
  return fits ? [`${year}${month.padStart(2, '0')}${date.padStart(2, '0')}`] : [];
}
