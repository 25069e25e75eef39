/** Searches for the MR series of a DICOMweb service (QIDO-RS, PS3.18 section 10.6). */
import type { DicomWebClient, JsonDataSet } from './client.js';
import { PacsError } from './error.js';

/** One series that a search found. */
export interface FoundSeries {
  readonly studyUid: string;
  readonly seriesUid: string;
  readonly modality: string;
  /** Number of Series Related Instances (0020,1209); null where the server does not say. */
  readonly instances: number | null;
}

export interface SeriesQuery {
  readonly study: readonly (readonly [string, string])[];
  readonly series: readonly (readonly [string, string])[];
}

/** Keys that a server matches in series (PS3.18 table 10.6.1-5 and the General and MR Series modules). */
const SERIES_KEYS = new Set(
  [
    'Modality',
    '00080060',
    'SeriesInstanceUID',
    '0020000E',
    'SeriesNumber',
    '00200011',
    'SeriesDescription',
    '0008103E',
    'SeriesDate',
    '00080021',
    'SeriesTime',
    '00080031',
    'BodyPartExamined',
    '00180015',
    'ProtocolName',
    '00181030',
    'Manufacturer',
    '00080070',
    'ManufacturerModelName',
    '00081090',
    'StationName',
    '00081010',
    'PerformedProcedureStepStartDate',
    '00400244',
    'PerformedProcedureStepStartTime',
    '00400245',
    'RequestAttributesSequence',
    '00400275',
  ].map((key) => key.toLowerCase()),
);
const OWN = new Set(['limit', 'offset', 'includefield']);
const UID = /^[0-9]+(\.[0-9]+)*$/;

/**
 * Reads "Modality=MR&StudyDate=20200101-20201231": attributes by keyword or tag with values to match. Those of series
 * are matched in series, all others in studies.
 *
 * @throws PacsError when it asks for another modality than MR, or sets what paging needs.
 */
export function parseQuery(text: string): SeriesQuery {
  const study: [string, string][] = [];
  const series: [string, string][] = [];
  for (const [key, value] of new URLSearchParams(text)) {
    const name = key.trim();
    const first = name.split('.')[0]!.toLowerCase();
    if (!/^([A-Za-z]+|[0-9A-Fa-f]{8})(\.([A-Za-z]+|[0-9A-Fa-f]{8}))*$/.test(name))
      throw new PacsError(
        'query: it must be attribute=value pairs joined by "&", such as "Modality=MR&StudyDate=20200101-20201231"; ' +
          `got the attribute "${name}"`,
      );
    if (OWN.has(first))
      throw new PacsError(`query: ${first} is set by Precess, which reads all pages; leave it out`);
    if (first === 'modality' || first === '00080060') {
      if (value !== 'MR') throw new PacsError(`query: only Modality=MR can be taken in, got "${value}"`);
    } else if (first === 'modalitiesinstudy' || first === '00080061') {
      if (value !== 'MR') throw new PacsError(`query: studies are taken for their MR series, got "${value}"`);
    } else (SERIES_KEYS.has(first) ? series : study).push([name, value]);
  }
  return { study, series };
}

/**
 * The Study Instance UIDs of studies with MR that match. Series are then searched study by study: all services can list
 * the series of a study, while searching all series at once is optional.
 *
 * @throws PacsError when the server refuses or does not answer in the end.
 */
export async function* studiesOf(client: DicomWebClient, query: SeriesQuery): AsyncGenerator<string> {
  // The modalities of a study are looked at here rather than matched by the server: Orthanc 1.10 loses results between
  // pages of such a search.
  const studyQuery = [...query.study, ['includefield', '00080061'] as const];
  for await (const study of pages(client, '/studies', studyQuery, '0020000D', 'search for studies')) {
    const modalities = study['00080061']?.Value ?? [];
    if (modalities.length === 0 || modalities.includes('MR')) yield value(study, '0020000D');
  }
}

/** Every MR series that matches, study by study. @throws as studiesOf. */
export async function* findSeries(client: DicomWebClient, query: SeriesQuery): AsyncGenerator<FoundSeries> {
  for await (const study of studiesOf(client, query))
    yield* seriesOf(client, study, [...query.series, ['Modality', 'MR']]);
}

/** The series of a study that match `query`. */
export async function* seriesOf(
  client: DicomWebClient,
  studyUid: string,
  query: SeriesQuery['series'],
): AsyncGenerator<FoundSeries> {
  const path = `/studies/${checked(studyUid)}/series`;
  // Asked for outright: some servers leave out what the standard requires.
  const all = [...query, ['includefield', '00201209'] as const];
  for await (const series of pages(client, path, all, '0020000E', 'search for series')) {
    const instances = Number(value(series, '00201209'));
    const modality = value(series, '00080060');
    // Servers may ignore a key that they do not support.
    if (query.some(([key, wanted]) => key === 'Modality' && modality !== '' && modality !== wanted)) continue;
    yield {
      studyUid,
      seriesUid: value(series, '0020000E'),
      modality,
      instances: Number.isSafeInteger(instances) && instances > 0 ? instances : null,
    };
  }
}

/** SOP Instance UIDs of a series. */
export async function instancesOf(
  client: DicomWebClient,
  series: Pick<FoundSeries, 'studyUid' | 'seriesUid'>,
): Promise<string[]> {
  const path = `/studies/${checked(series.studyUid)}/series/${checked(series.seriesUid)}/instances`;
  const uids: string[] = [];
  for await (const one of pages(client, path, [], '00080018', 'search for instances'))
    uids.push(value(one, '00080018'));
  return uids;
}

/**
 * All results of a search, page by page, each once. A server may send fewer than asked for, so the end is a page with
 * nothing new.
 */
async function* pages(
  client: DicomWebClient,
  path: string,
  query: readonly (readonly [string, string])[],
  key: string,
  what: string,
): AsyncGenerator<JsonDataSet> {
  const seen = new Set<string>();
  for (let offset = 0; ;) {
    const page = await client.search(
      path,
      new URLSearchParams([
        ...query.map(([k, v]): [string, string] => [k, v]),
        ['limit', String(client.pageSize)],
        ['offset', String(offset)],
      ]),
      what,
    );
    offset += page.length;
    const fresh = page.filter((one) => !seen.has(checked(value(one, key))));
    for (const one of fresh) {
      seen.add(value(one, key));
      yield one;
    }
    if (fresh.length === 0) return;
  }
}

function value(dataSet: JsonDataSet, tag: string): string {
  const first = dataSet[tag]?.Value?.[0];
  return typeof first === 'string' || typeof first === 'number' ? String(first) : '';
}

/** A UID (PS3.5 section 9.1) that is safe in a path. @throws PacsError for anything else. */
export function checked(uid: string): string {
  if (uid.length > 64 || !UID.test(uid))
    throw new PacsError(
      `search: the server must name studies, series and instances by UIDs (PS3.5 section 9.1), got ${uid.length} ` +
        'characters that are none; it cannot be used',
    );
  return uid;
}
