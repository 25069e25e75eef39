/** The DICOMweb client against a real Orthanc: what is stored comes back byte for byte, also over a bad line. */
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { newUid } from '../../src/formats/dicom/index.js';
import {
  DicomWebClient,
  findSeries,
  type FoundSeries,
  parseQuery,
  retrieveSeries,
  storeInstances,
} from '../../src/pacs/index.js';
import { dicom, folder, image } from '../corpus/made.js';
import { hasCommand, skipped } from '../data.js';
import { CREDENTIALS, hasOrthanc, NO_ORTHANC, type Orthanc, selfSigned, startOrthanc } from './orthanc.js';
import { type Proxy, startProxy } from './proxy.js';

const MOST = 2 ** 30;
const QUICK = { baseMs: 1, mostMs: 5 };

const clientOf = (address: string, more: Parameters<typeof DicomWebClient.create>[1] = {}) =>
  DicomWebClient.create(address, { env: CREDENTIALS, retries: QUICK, ...more });

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

const sorted = (files: readonly Uint8Array[]): string[] =>
  files.map((file) => Buffer.from(file).toString('base64')).sort();

/** A study of its own for every `n`, with as many series as given. */
async function makeStudy(
  n: number,
  series: number,
  over: Parameters<typeof dicom>[1] = {},
): Promise<string[]> {
  const paths: string[] = [];
  for (let s = 1; s <= series; s++)
    paths.push(
      ...(await dicom(
        join(await folder(), `study ${n} series ${s}`),
        {
          patientId: `P-${n}`,
          studyUid: newUid(`pacs study ${n}`),
          seriesUid: newUid(`pacs study ${n} series ${s}`),
          studyDate: `2020010${n}`,
          seriesDescription: s === 1 ? 't2_tse_tra' : `t1_tse_cor ${s}`,
          seriesNumber: s,
          ...over,
        },
        image([40, 36, 8], 10 * n + s),
      )),
    );
  return paths;
}

const read = (paths: readonly string[]): Promise<Uint8Array[]> =>
  Promise.all(paths.map((path) => readFile(path)));

describe.skipIf(skipped(!hasOrthanc(), NO_ORTHANC))('DICOMweb', () => {
  let pacs: Orthanc;
  let client: DicomWebClient;
  /** Files of the series, by Series Instance UID. */
  const files = new Map<string, Uint8Array[]>();

  beforeAll(async () => {
    pacs = await startOrthanc();
    client = await clientOf(pacs.address, { pageSize: 2 });
    for (let n = 1; n <= 3; n++) {
      const bytes = await read(await makeStudy(n, n));
      for (let s = 1; s <= n; s++)
        files.set(newUid(`pacs study ${n} series ${s}`), bytes.slice(8 * (s - 1), 8 * s));
      expect(await storeInstances(client, bytes)).toEqual({ stored: 8 * n, failed: [] });
    }
    // Orthanc judges what it got by itself.
    expect(await pacs.rest('/statistics')).toMatchObject({
      CountStudies: 3,
      CountSeries: 6,
      CountInstances: 48,
    });
  });
  afterAll(async () => {
    client.close();
    await pacs.stop();
  });

  const find = async (query: string, from = client): Promise<FoundSeries[]> =>
    all(findSeries(from, parseQuery(query)));

  it('finds all series over many pages, with their numbers of instances', async () => {
    const found = await find('Modality=MR');
    expect(found.map(({ seriesUid }) => seriesUid).sort()).toEqual([...files.keys()].sort());
    for (const one of found) expect(one).toMatchObject({ modality: 'MR', instances: 8 });
  });

  it('matches attributes of studies and of series', async () => {
    const uids = async (query: string): Promise<string[]> =>
      (await find(query)).map(({ seriesUid }) => seriesUid);
    expect(await uids('StudyDate=20200102-20200102')).toHaveLength(2);
    expect((await uids('StudyDate=20200102-20200103')).length).toBe(5);
    expect(await uids('SeriesDescription=t2*')).toEqual(
      expect.arrayContaining([1, 2, 3].map((n) => newUid(`pacs study ${n} series 1`))),
    );
    expect(await uids('SeriesDescription=t2*&PatientID=P-3')).toEqual([newUid('pacs study 3 series 1')]);
    expect(await uids('PatientID=nobody')).toEqual([]);
  });

  it('retrieves what was stored, byte for byte', async () => {
    for (const series of await find('Modality=MR'))
      expect(sorted(await retrieveSeries(client, series, MOST))).toEqual(
        sorted(files.get(series.seriesUid)!),
      );
  });

  it.skipIf(skipped(!hasCommand('dcmcjpeg'), 'no dcmcjpeg (Debian dcmtk)'))(
    'retrieves compressed instances as they are stored',
    async () => {
      const paths = await makeStudy(7, 1);
      for (const path of paths) expect(spawnSync('dcmcjpeg', ['+e1', path, path]).status).toBe(0);
      const bytes = await read(paths);
      expect(Buffer.from(bytes[0]!).includes('1.2.840.10008.1.2.4.70')).toBe(true);
      expect((await storeInstances(client, bytes)).stored).toBe(8);
      const [series] = await find('PatientID=P-7');
      expect(sorted(await retrieveSeries(client, series!, MOST))).toEqual(sorted(bytes));
    },
  );

  it('refuses a series above the limit of bytes', async () => {
    const [series] = await find('PatientID=P-1');
    await expect(retrieveSeries(client, series!, 10_000)).rejects.toThrow(/rest of its parts may have/);
  });

  it('says which instances a server does not take', async () => {
    const [good] = files.get(newUid('pacs study 1 series 1'))!;
    const result = await storeInstances(client, [good!], newUid('another study'));
    expect(result.stored).toBe(0);
    expect(result.failed).toHaveLength(1);
    await expect(storeInstances(client, [Buffer.from('no DICOM')])).rejects.toThrow(/store instances/);
  });

  it('is turned away without credentials or with wrong ones, at once and without showing them', async () => {
    for (const env of [
      {},
      { ...CREDENTIALS, PRECESS_DICOMWEB_PASSWORD: 'wrong' },
      { PRECESS_DICOMWEB_TOKEN: 'wrong' },
    ]) {
      const stranger = await clientOf(pacs.address, { env });
      const failure = await find('Modality=MR', stranger).catch((error: unknown) => String(error));
      expect(failure).toMatch(/answered 40[13]: the credentials/);
      expect(failure).not.toMatch(/wrong|reader/);
      stranger.close();
    }
  });

  it('says what is wrong with an address', async () => {
    const { port } = pacs;
    for (const [address, message] of [
      [`dicomweb+http://127.0.0.1:${port}/nothing`, /answered 404: there is nothing at this address/],
      [`dicomweb+https://127.0.0.1:${port}/dicom-web`, /does not speak TLS/],
      ['dicomweb+http://no-such-host.invalid/dicom-web', /there is no host no-such-host\.invalid/],
      [`dicomweb+http://127.0.0.1:1/dicom-web`, /no answer from 127\.0\.0\.1:1 .*tried 2 times/],
    ] as const) {
      const lost = await clientOf(address, { retries: { ...QUICK, tries: 2 } });
      await expect(find('Modality=MR', lost)).rejects.toThrow(message);
      lost.close();
    }
  });

  it('gives up a server that stays silent', async () => {
    const { createServer } = await import('node:net');
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    const waiting = await clientOf(`dicomweb+http://127.0.0.1:${port}/x`, {
      silenceMs: 50,
      retries: { ...QUICK, tries: 2 },
    });
    await expect(find('', waiting)).rejects.toThrow(/nothing came for 0\.05 s.*tried 2 times/);
    waiting.close();
    silent.close();
  });

  describe('over a bad line', () => {
    let flaky: Proxy;
    beforeAll(async () => {
      flaky = await startProxy(pacs.port, { bad: 0.4, seed: 3 });
    });
    afterAll(() => flaky.stop());

    it('finds and retrieves everything all the same', async () => {
      const bad = await clientOf(`dicomweb+http://127.0.0.1:${flaky.port}/dicom-web`, {
        retries: { ...QUICK, tries: 20 },
      });
      const found = await find('StudyDate=20200101-20200103', bad);
      expect(found).toHaveLength(6);
      for (const series of found)
        expect(sorted(await retrieveSeries(bad, series, MOST))).toEqual(sorted(files.get(series.seriesUid)!));
      bad.close();
      // It failed in each way, and each was seen.
      expect(Math.min(flaky.count.busy, flaky.count.dropped, flaky.count.cut)).toBeGreaterThan(0);
    });
  });

  // A reverse proxy speaks TLS, as in front of most archives; Debian's Orthanc 1.10 crashes when it does so itself.
  it.skipIf(skipped(!hasCommand('openssl'), 'no openssl'))(
    'trusts a certificate that signs itself only where it is named',
    async () => {
      const { key, cert } = selfSigned(await folder());
      const proxy = await startProxy(pacs.port, {
        tls: { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') },
      });
      const address = `dicomweb+https://127.0.0.1:${proxy.port}/dicom-web`;
      const trusting = await clientOf(address, { caFile: cert });
      const [series] = await find('PatientID=P-1', trusting);
      const got = await retrieveSeries(trusting, series!, MOST);
      expect(sorted(got)).toEqual(sorted(files.get(series!.seriesUid)!));
      expect((await storeInstances(trusting, got)).stored).toBe(8);
      trusting.close();

      const careful = await clientOf(address);
      await expect(find('', careful)).rejects.toThrow(/is not trusted .*--ca-file/);
      careful.close();

      vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
      const stubborn = await clientOf(address);
      await expect(find('', stubborn)).rejects.toThrow(/is not trusted/);
      stubborn.close();
      vi.unstubAllEnvs();
      await expect(clientOf(address, { caFile: key })).rejects.toThrow(/must hold certificates in PEM/);
      await proxy.stop();
    },
  );
});
