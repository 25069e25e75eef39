/** `corpus export --dicom`: valid files, the same geometry and values for other readers, gaps left as gaps. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ingest, type Series } from '../../src/corpus/index.js';
import { newUid, readDicomHeader } from '../../src/formats/dicom/index.js';
import { readTree } from '../../src/formats/dicom/tree.js';
import { writeNifti } from '../../src/formats/nifti/index.js';
import { writeFile } from 'node:fs/promises';
import { hasCommand, skipped } from '../data.js';
import { run } from './command.js';
import { dicom, filesUnder, folder, image, withCorpus } from './made.js';

async function exported(dir: string): Promise<{ series: Series[]; out: string }> {
  const corpus = join(dir, 'c');
  const { series } = await ingest([join(dir, 'in')], { corpus });
  const out = join(dir, 'out');
  await run('corpus', 'export', '--corpus', corpus, '--dicom', out);
  return { series, out };
}

const folderOf = (out: string, one: Series): string => join(out, one.patientId, one.studyId, one.id);

describe('corpus export --dicom', () => {
  it('writes pseudonyms, derived UIDs and the record of de-identification, and nothing of the source', async () => {
    const dir = await folder();
    await dicom(join(dir, 'in'), { patientName: 'Zworykinova^Vladlena', patientId: 'PID-7734501' });
    const { series, out } = await exported(dir);
    const of = folderOf(out, series[0]!);
    const names = readdirSync(of).sort();
    expect(names).toEqual(Array.from({ length: 8 }, (_, k) => `${String(k + 1).padStart(5, '0')}.dcm`));
    const header = await readDicomHeader(join(of, '00001.dcm'));
    expect(header.patientId).toBe(series[0]!.patientId);
    expect(header.patientName).toBe(series[0]!.patientId);
    for (const uid of [header.studyUid, header.seriesUid, header.frameOfReferenceUid, header.sopInstanceUid])
      expect(uid).toMatch(/^2\.25\.\d+$/);
    const tree = readTree(readFileSync(join(of, '00001.dcm')), 'exported');
    const text = (tag: number): string => tree.text(tree.nodes.find((node) => node.tag === tag)!);
    expect(text(0x00120062)).toBe('YES');
    const codes = tree.nodes.find(({ tag }) => tag === 0x00120064)!.items!;
    expect(tree.text(codes[0]![0]!)).toBe('113100');
    for (const file of await filesUnder(out)) {
      const bytes = readFileSync(file).toString('latin1');
      for (const planted of [
        'Zworykinova',
        '7734501',
        '19610402',
        '20110707',
        newUid('study 1'),
        newUid('series 1'),
      ])
        expect(bytes.includes(planted)).toBe(false);
    }
  });

  it('leaves missing slices out and marks other unmeasured voxels by a value that none has', async () => {
    const dir = await folder();
    const files = await dicom(join(dir, 'in', 'gap'));
    await rm(files[3]!);
    const holed = image([20, 20, 6], 5);
    const data = Float32Array.from(holed.data);
    data.fill(NaN, 100, 130);
    await writeFile(join(dir, 'in', 'sub-02_T1w.nii'), writeNifti({ ...holed, data }));
    const { series, out } = await exported(dir);
    const gap = series.find((one) => one.missingSlices.length > 0)!;
    expect(readdirSync(folderOf(out, gap))).not.toContain('00004.dcm');
    expect(readdirSync(folderOf(out, gap))).toHaveLength(7);
    const other = series.find((one) => one.missingSlices.length === 0)!;
    const tree = readTree(readFileSync(join(folderOf(out, other), '00001.dcm')), 'exported');
    const node = (tag: number): Uint8Array => tree.nodes.find((one) => one.tag === tag)!.value!;
    const padding = Buffer.from(node(0x00280120)).readUInt16LE(0);
    const pixels = Buffer.from(node(0x7fe00010));
    const padded = Array.from({ length: 400 }, (_, n) => n).filter(
      (n) => pixels.readUInt16LE(2 * n) === padding,
    );
    expect(padded).toEqual(Array.from({ length: 30 }, (_, n) => 100 + n));
  });

  it('needs one format, and overwrites nothing without --force', async () => {
    const dir = await folder();
    await dicom(join(dir, 'in'));
    const { out } = await exported(dir);
    const args = ['corpus', 'export', '--corpus', join(dir, 'c')];
    await expect(run(...args)).rejects.toThrow(/name one of --nifti DIR, --dicom DIR and --bids DIR/);
    await expect(run(...args, '--dicom', out)).rejects.toThrow(/no file may be in the way, got 2/);
    await run(...args, '--dicom', out, '--force');
  });

  it.skipIf(skipped(!hasCommand('dciodvfy'), 'dciodvfy (dicom3tools) is not installed'))(
    'has no error for dciodvfy and dcmftest',
    async () => {
      const dir = await folder();
      await dicom(join(dir, 'in'));
      const { series, out } = await exported(dir);
      const file = join(folderOf(out, series[0]!), '00002.dcm');
      const said = execFileSync('sh', ['-c', 'dciodvfy "$0" 2>&1; true', file], { encoding: 'utf8' });
      expect(said).toContain('MRImage');
      expect(said.split('\n').filter((line) => line.startsWith('Error'))).toEqual([]);
      if (hasCommand('dcmftest'))
        expect(execFileSync('dcmftest', [file], { encoding: 'utf8' })).toMatch(/^yes/);
    },
  );

  it.skipIf(skipped(!hasCommand('dcm2niix'), 'dcm2niix is not installed'))(
    'gives dcm2niix the affine and the values that the corpus has',
    async () => {
      const dir = await folder();
      await dicom(join(dir, 'in'));
      const { series, out } = await exported(dir);
      const [one] = series as [Series];
      const to = join(dir, 'niix');
      execFileSync('sh', ['-c', 'mkdir "$0" && dcm2niix -z y -f x -o "$0" "$1"', to, folderOf(out, one)]);
      expect(existsSync(join(to, 'x.nii.gz'))).toBe(true);
      const file = gunzipSync(readFileSync(join(to, 'x.nii.gz')));
      const srow = [0, 1, 2].map((r) => [0, 1, 2, 3].map((c) => file.readFloatLE(280 + 16 * r + 4 * c)));
      const volume = await withCorpus(join(dir, 'c'), (c) => c.volume(one.id));
      const [ni, nj, nk] = volume.shape;
      // dcm2niix turns rows over: j becomes nj - 1 - j.
      for (let r = 0; r < 3; r++) {
        const [i, j, k, o] = volume.affine[r]!;
        expect(srow[r]![0]).toBeCloseTo(i, 3);
        expect(srow[r]![1]).toBeCloseTo(-j, 3);
        expect(srow[r]![2]).toBeCloseTo(k, 3);
        expect(srow[r]![3]).toBeCloseTo(o + j * (nj - 1), 2);
      }
      const start = file.readFloatLE(108);
      let different = 0;
      for (let k = 0; k < nk; k++)
        for (let j = 0; j < nj; j++)
          for (let i = 0; i < ni; i++)
            if (
              file.readInt16LE(start + 2 * (i + ni * (nj - 1 - j + nj * k))) !==
              volume.data[i + ni * (j + nj * k)]
            )
              different++;
      expect(different).toBe(0);
    },
  );
});
