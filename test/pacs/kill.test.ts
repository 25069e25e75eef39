/** A fetch that is killed goes on where it was: what is complete is not fetched again, nothing is there twice. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { Ingested } from '../../src/corpus/index.js';
import { newUid } from '../../src/formats/dicom/index.js';
import { start } from '../cli/command.js';
import { dicom, filesUnder, folder, image } from '../corpus/made.js';
import { skipped } from '../data.js';
import { CREDENTIALS, hasOrthanc, NO_ORTHANC, startOrthanc } from './orthanc.js';
import { startProxy } from './proxy.js';

const SERIES = 8;

it.skipIf(skipped(!hasOrthanc(), NO_ORTHANC))(
  'survives SIGKILL',
  async () => {
    const pacs = await startOrthanc();
    // The pauses that broken requests cost leave time to kill.
    const proxy = await startProxy(pacs.port, { bad: 0.3, seed: 2 });
    Object.assign(process.env, CREDENTIALS);
    try {
      for (let n = 0; n < SERIES; n++)
        for (const path of await dicom(
          await folder(),
          { seriesUid: newUid(`killed ${n}`), studyUid: newUid(`killed ${n % 3}`) },
          image([40, 36, 8], n),
        ))
          await pacs.rest('/instances', await readFile(path));
      const corpus = join(await folder(), 'corpus');
      const address = `dicomweb+http://127.0.0.1:${proxy.port}/dicom-web`;
      const args = ['ingest', address, '--corpus', corpus, '--json'];
      for (let kill = 0; kill < 3; kill++) {
        const { child, ended } = start(...args);
        const before = (await stored(corpus)).length;
        while (child.exitCode === null && (await stored(corpus)).length < before + 1) await sleep(5);
        child.kill('SIGKILL');
        await ended;
      }
      const known = (await recorded(corpus)).length;
      const { code, stdout, stderr } = await start(...args).ended;
      expect(code, stderr).toBe(0);
      const result = JSON.parse(stdout) as Ingested;
      expect(result.series).toHaveLength(SERIES);
      expect(new Set(result.series.map(({ id }) => id)).size).toBe(SERIES);
      expect(result.present).toBeGreaterThanOrEqual(known);
      expect(await recorded(corpus)).toHaveLength(SERIES);
      // Voxels without a row are gone.
      expect(await stored(corpus)).toHaveLength(SERIES);
      expect((await start('corpus', 'check', '--corpus', corpus).ended).code).toBe(0);
    } finally {
      for (const name of Object.keys(CREDENTIALS)) Reflect.deleteProperty(process.env, name);
      await proxy.stop();
      await pacs.stop();
    }
  },
  60_000,
);

const under = async (corpus: string, ending: RegExp): Promise<string[]> =>
  (await filesUnder(corpus).catch(() => [])).filter((path) => ending.test(path));
const stored = (corpus: string): Promise<string[]> => under(corpus, /\.ome\.zarr[\\/]zarr\.json$/);
const recorded = (corpus: string): Promise<string[]> => under(corpus, /received[\\/]..[\\/]se-.*\.json$/);
