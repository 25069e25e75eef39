/** Series from a PACS in a corpus: the same as from a folder, whatever the line does, and fetched once. */
import { copyFile, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  Corpus,
  ingest,
  type Ingested,
  ingestReceived,
  type Series,
  withdraw,
} from '../../src/corpus/index.js';
import { newUid, readDicomHeader } from '../../src/formats/dicom/index.js';
import {
  type ClientOptions,
  DicomWebClient,
  fetchSeries,
  type FetchOptions,
  parseQuery,
  type ReceivedSeries,
  storeInstances,
} from '../../src/pacs/index.js';
import { simulateStudy, writeStudy } from '../../src/simulate/index.js';
import { dicom, filesUnder, folder, image } from '../corpus/made.js';
import { dataDir, skipped } from '../data.js';
import { CREDENTIALS, hasOrthanc, NO_ORTHANC, type Orthanc, startOrthanc } from './orthanc.js';
import { startProxy } from './proxy.js';

interface FetchingOptions extends Partial<Pick<FetchOptions, 'query' | 'signal' | 'mostBytes'>> {
  readonly client?: ClientOptions;
  readonly onEach?: (series: ReceivedSeries, n: number) => void;
  readonly corpus: string;
}

/** Takes in what a DICOMweb service has. */
async function fetchInto(address: string, options: FetchingOptions): Promise<Ingested & { fetched: number }> {
  const { corpus, signal, query = parseQuery(''), mostBytes = 2 ** 30, onEach } = options;
  const client = await DicomWebClient.create(address, {
    env: CREDENTIALS,
    retries: { baseMs: 1, mostMs: 5, tries: 20 },
    ...options.client,
  });
  let fetched = 0;
  try {
    const result = await ingestReceived(
      async function* (receiving) {
        const all = fetchSeries(client, {
          ...{ query, mostBytes, concurrency: 2, reports: true, ...receiving },
          ...(signal && { signal }),
        });
        for await (const series of all) {
          fetched++;
          onEach?.(series, fetched);
          yield series;
        }
      },
      { corpus, source: 'a pacs', ...(signal && { signal }) },
    );
    return { ...result, fetched };
  } finally {
    client.close();
  }
}

/** Rows without what differs by source, and the stored voxels of each. */
async function contents(dir: string): Promise<Map<string, { series: Series; voxels: number[] }>> {
  const corpus = await Corpus.open(dir);
  try {
    const all = new Map<string, { series: Series; voxels: number[] }>();
    for (const series of await corpus.list())
      all.set(series.id, {
        series: { ...series, source: '' },
        voxels: [...(await corpus.volume(series.id)).data],
      });
    return all;
  } finally {
    corpus.close();
  }
}

/** A structured report made by pydicom, and the study that it is of. */
async function report(): Promise<{ sr: Uint8Array; studyUid: string }> {
  const path = fileURLToPath(new URL('../fixtures/corpus/reports/comprehensive.dcm', import.meta.url));
  return { sr: await readFile(path), studyUid: (await readDicomHeader(path)).studyUid };
}

/** A corpus with the key of another, so that its ids are the same. */
async function withKeyOf(other: string): Promise<string> {
  const dir = await folder();
  const corpus = await Corpus.create(dir);
  corpus.close();
  await copyFile(join(other, 'key'), join(dir, 'key'));
  return dir;
}

describe.skipIf(skipped(!hasOrthanc(), NO_ORTHANC))('series from a PACS', () => {
  let pacs: Orthanc;
  let dir: string;
  let files: string[];

  beforeAll(async () => {
    pacs = await startOrthanc();
    dir = await mkdtemp(join(tmpdir(), 'precess-pacs-'));
    for (let patient = 0; patient < 3; patient++)
      await writeStudy(
        join(dir, `study-${patient}`),
        simulateStudy({ seed: 5, patient, series: 2, size: 'tiny' }),
      );
    // Beside the images, what is no MR.
    await dicom(join(dir, 'mr'), { patientName: 'Planted^Name', seriesUid: newUid('planted') }, image());
    files = await filesUnder(dir);
    const client = await DicomWebClient.create(pacs.address, { env: CREDENTIALS });
    const { stored } = await storeInstances(client, await Promise.all(files.map((file) => readFile(file))));
    expect(stored).toBe(files.length);
    client.close();
  });
  afterAll(async () => {
    await pacs.stop();
    await rm(dir, { recursive: true, force: true });
  });

  it('are those of the folder: ids, descriptions and voxels', async () => {
    const local = await folder();
    await ingest([dir], { corpus: local });
    const remote = await withKeyOf(local);
    const result = await fetchInto(pacs.address, { corpus: remote });
    expect(result).toMatchObject({ added: 7, present: 0, interrupted: false, fetched: 7 });
    expect(await contents(remote)).toEqual(await contents(local));
    expect([...(await contents(local)).keys()]).toHaveLength(7);
  });

  it('are fetched once; again where they are no longer in the corpus, or the archive has more', async () => {
    const corpus = await folder();
    const query = parseQuery('PatientID=P-1');
    expect(await fetchInto(pacs.address, { corpus, query })).toMatchObject({ added: 1, fetched: 1 });
    const again = await fetchInto(pacs.address, { corpus, query });
    expect(again).toMatchObject({ added: 0, present: 1, fetched: 0 });
    expect(again.series).toHaveLength(1);

    const more = await dicom(await folder(), { seriesUid: newUid('planted') }, image([40, 36, 10]));
    for (const path of more.slice(8)) await pacs.rest('/instances', await readFile(path));
    const grown = await fetchInto(pacs.address, { corpus, query });
    expect(grown).toMatchObject({ replaced: 1, fetched: 1 });
    expect(grown.series[0]!.shape).toEqual([40, 36, 10]);

    const open = await Corpus.open(corpus);
    await withdraw(open, { id: grown.series[0]!.id }, () => Promise.resolve());
    open.close();
    expect(await fetchInto(pacs.address, { corpus, query })).toMatchObject({ added: 1, fetched: 1 });
  });

  it('come through a bad line, and go on where they were stopped', async () => {
    const proxy = await startProxy(pacs.port, { bad: 0.3, seed: 11 });
    const address = `dicomweb+http://127.0.0.1:${proxy.port}/dicom-web`;
    const corpus = await folder();
    const stop = new AbortController();
    const first = await fetchInto(address, {
      corpus,
      signal: stop.signal,
      onEach: (_, n) => n === 3 && stop.abort(new Error('stopped')),
    });
    expect(first.interrupted).toBe(true);
    expect(first.added).toBeLessThan(7);
    const second = await fetchInto(address, { corpus });
    expect(second).toMatchObject({ present: first.added, added: 7 - first.added, skipped: [] });
    expect(second.fetched).toBe(7 - first.added);
    expect(proxy.count.whole).toBeLessThan(proxy.count.requests);
    await proxy.stop();
  });

  it('that fail are listed by pseudonym, and the others are taken', async () => {
    const corpus = await folder();
    const result = await fetchInto(pacs.address, { corpus, mostBytes: 90_000 });
    expect(result.added + result.skipped.length).toBe(7);
    expect(result.skipped.length).toBeGreaterThan(0);
    for (const { path, reason } of result.skipped) {
      expect(path).toMatch(/^a pacs: series se-[0-9a-f]{16}$/);
      expect(reason).toMatch(/may have \d+ bytes/);
    }
  });

  it('leave nothing of names, ids and UIDs on the disk', async () => {
    const corpus = await folder();
    await fetchInto(pacs.address, { corpus, query: parseQuery('PatientID=P-1') });
    const all = await filesUnder(corpus);
    expect(all.some((path) => path.includes('received'))).toBe(true);
    for (const path of all) {
      const text = (await readFile(path)).toString('latin1');
      for (const planted of ['Planted', 'P-1"', newUid('planted'), newUid('study 1'), '127.0.0.1'])
        expect(text.includes(planted), `${planted} in ${path}`).toBe(false);
      expect(path).not.toContain('2.25.');
    }
    expect(await readdir(corpus)).not.toContain('memory');
  });

  it('bring the structured report of their study', async () => {
    const { sr, studyUid } = await report();
    const corpus = await folder();
    const files = await dicom(await folder(), { studyUid, seriesUid: newUid('reported'), patientId: 'R' });
    for (const file of [sr, ...(await Promise.all(files.map((path) => readFile(path))))])
      await pacs.rest('/instances', file);
    const query = parseQuery(`StudyInstanceUID=${studyUid}`);
    const result = await fetchInto(pacs.address, { corpus, query });
    expect(result.reports).toMatchObject({ found: 1, matched: 1 });
    expect(result.series.map((series) => series.report?.impression)).toEqual([
      'Protrusion with spinal stenosis.',
    ]);
  });
});

const data = dataDir();

describe.skipIf(skipped(!hasOrthanc() || data === null, `${NO_ORTHANC}, or no shared data`))(
  'real series',
  () => {
    it('from a PACS are those of the folder', async () => {
      const sources = ['prostate-prostatex', 'prostate-missing-slice'].map((name) => join(data!, name));
      const local = await folder();
      const own = await ingest(sources, { corpus: local });
      const pacs = await startOrthanc();
      try {
        const client = await DicomWebClient.create(pacs.address, { env: CREDENTIALS });
        const paths = (await Promise.all(sources.map((source) => filesUnder(source)))).flat();
        const images = paths.filter((path) => path.endsWith('.dcm'));
        const sent = await storeInstances(client, await Promise.all(images.map((path) => readFile(path))));
        expect(sent.stored).toBe(images.length);
        client.close();
        const remote = await withKeyOf(local);
        const fetched = await fetchInto(pacs.address, { corpus: remote });
        expect(fetched.added).toBe(own.added);
        const [there, here] = [await contents(remote), await contents(local)];
        expect([...there.keys()]).toEqual([...here.keys()]);
        for (const [id, { series, voxels }] of here) {
          const { contentHash, affine, missingSlices, patientId, studyId } = series;
          expect(there.get(id)!.series).toMatchObject({
            contentHash,
            affine,
            missingSlices,
            patientId,
            studyId,
          });
          // Compared as bytes: a difference of long lists would take minutes to print.
          expect(
            Buffer.from(Float64Array.from(there.get(id)!.voxels).buffer).equals(
              Buffer.from(Float64Array.from(voxels).buffer),
            ),
          ).toBe(true);
        }
      } finally {
        await pacs.stop();
      }
    });
  },
);

describe('series that are pushed', () => {
  const received = (more: Partial<ReceivedSeries>): ReceivedSeries => ({
    ...{ studyUid: newUid('study 1'), seriesUid: newUid('series 1'), use: 'image', files: [] },
    ...{ expected: null, reports: [], ...more },
  });
  // eslint-disable-next-line @typescript-eslint/require-await -- an async iterable is what ingest takes
  async function* supply(all: readonly ReceivedSeries[]): AsyncGenerator<ReceivedSeries> {
    yield* all;
  }

  it('find the report that came before them', async () => {
    const { sr, studyUid } = await report();
    const paths = await dicom(await folder(), { studyUid });
    const files = await Promise.all(paths.map((path) => readFile(path)));
    const { series, reports } = await ingestReceived(
      () => supply([received({ studyUid, use: 'report', files: [sr] }), received({ studyUid, files })]),
      { corpus: await folder(), source: 'x', atOnce: true },
    );
    expect(series.map((one) => one.report?.impression)).toEqual(['Protrusion with spinal stenosis.']);
    expect(reports).toMatchObject({ found: 1, matched: 1 });
  });

  it('in pieces are told of, and whole again when they come whole', async () => {
    const paths = await dicom(await folder());
    const files = await Promise.all(paths.map((path) => readFile(path)));
    const all = [files.slice(0, 5), files.slice(5), files].map((some) => received({ files: some }));
    const corpus = await folder();
    const options = { corpus, source: 'x', atOnce: true };
    const { series, notes, added, replaced } = await ingestReceived(() => supply(all), options);
    expect({ added, replaced, notes: notes.length }).toEqual({ added: 1, replaced: 1, notes: 1 });
    expect(notes[0]!.reason).toMatch(/came in pieces/);
    expect(series[0]!.shape).toEqual([40, 36, 8]);
  });
});
