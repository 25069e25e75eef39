/** Series stored in worker threads: the same corpus as without, and nothing lost when a file is broken. */
import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Corpus, ingest } from '../../src/corpus/index.js';
import { newUid } from '../../src/formats/dicom/index.js';
import { writeNiftiFile } from '../../src/formats/nifti/index.js';
import { dicom, folder, image } from './made.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

describe('ingest in threads', () => {
  it('stores what one thread stores, and hashes it under the key of the corpus', async () => {
    const dir = await folder();
    for (let n = 0; n < 5; n++)
      await dicom(join(dir, 'in', `s${n}`), { seriesUid: newUid(`s${n}`) }, image([40, 36, 8], n + 1));
    await writeNiftiFile(join(dir, 'in', 't1.nii.gz'), image([30, 20, 10], 9));
    const cut = (await dicom(join(dir, 'in', 'cut'), { seriesUid: newUid('cut') })).at(3)!;
    await writeFile(cut, (await readFile(cut)).subarray(0, 2000));

    const alone = await ingest([join(dir, 'in')], { corpus: join(dir, 'alone'), workers: 0 });
    const threaded = await ingest([join(dir, 'in')], { corpus: join(dir, 'threaded'), workers: 3 });
    expect(threaded.added).toBe(7);
    expect(threaded.skipped).toEqual(alone.skipped);

    // A different key gives different names, so series are compared by what they hold.
    const held = async (corpus: string): Promise<string[]> => {
      const opened = await Corpus.open(join(dir, corpus));
      const all = await opened.list();
      const found: string[] = [];
      for (const { id, contentHash, shape, validFraction } of all) {
        const { data } = await opened.volume(id);
        const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64');
        found.push(JSON.stringify([shape, validFraction, bytes]));
        expect(contentHash).toMatch(/^[0-9a-f]{64}$/);
      }
      expect(new Set(all.map(({ contentHash }) => contentHash)).size).toBe(all.length);
      opened.close();
      return found.sort();
    };
    expect(await held('threaded')).toEqual(await held('alone'));
  });

  it('makes the content hash that OpenSSL makes of the same bytes', async () => {
    const dir = await folder();
    const volume = image([20, 18, 6]);
    await writeNiftiFile(join(dir, 'x.nii'), volume);
    const { series } = await ingest([join(dir, 'x.nii')], { corpus: join(dir, 'c') });
    const key = (await readFile(join(dir, 'c', 'key'), 'utf8')).trim();
    const head = JSON.stringify(['uint16', series[0]!.shape, series[0]!.affine, 1, 0]);
    await writeFile(
      join(dir, 'message'),
      Buffer.concat([Buffer.from(`${head}\n`), Buffer.from(volume.data.buffer)]),
    );
    const args = ['dgst', '-sha256', '-mac', 'HMAC', '-macopt', `hexkey:${key}`, '-r', join(dir, 'message')];
    const expected = execFileSync('openssl', args, { cwd: ROOT, encoding: 'utf8' }).split(' ')[0];
    expect(series[0]!.contentHash).toBe(expected);
  });
});
