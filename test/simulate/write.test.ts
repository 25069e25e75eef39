/** Written studies as other readers see them: dcmtk and our own. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { groupSeries, loadSeries, readDicomHeader } from '../../src/formats/dicom/index.js';
import { type SimulatedStudy, simulateStudy, writeCorpus, writeStudy } from '../../src/simulate/index.js';
import { inverseOf } from '../../src/volume/sampling.js';
import { hasCommand, skipped } from '../data.js';

let dir = '';
let study: SimulatedStudy;
let files: readonly string[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'precess-simulate-'));
  const small = { shape: [40, 36, 9] as const, noise: 0.02 };
  study = simulateStudy({
    seed: 21,
    patient: 3,
    region: 'abdomen',
    series: [
      { contrast: 'T2w', plane: 'axial', acquisition: { ...small, missing: [3, 6], reversed: true } },
      { contrast: 'T1w', plane: 'coronal', acquisition: { ...small, tilt: [7, 0, 0] } },
      { contrast: 'ADC', acquisition: small },
    ],
  });
  ({ files } = await writeStudy(join(dir, 'study'), study));
});

afterAll(async () => rm(dir, { recursive: true, force: true }));

describe('writeStudy', () => {
  it('writes one file a slice and none for missing slices', async () => {
    expect(files).toHaveLength(9 - 2 + 9 + 9);
    const names = await readdir(join(dir, 'study', 'series-02'));
    expect(names.sort()).toEqual([1, 2, 3, 5, 6, 8, 9].map((n) => `0000${n}.dcm`));
  });

  it('is read back by our reader with the same voxels at the same places', async () => {
    const instances = await Promise.all(files.map((path) => readDicomHeader(path)));
    const { series, skipped: refused } = groupSeries(instances);
    expect(refused).toEqual([]);
    expect(series).toHaveLength(3);
    for (const written of study.series) {
      const read = series.find(({ seriesUid }) => seriesUid === written.header.seriesUid)!;
      const volume = await loadSeries(read);
      const [ni, nj, nk] = written.volume.shape;
      expect(volume.shape).toEqual([ni, nj, nk]);
      expect(read.missingSlices).toHaveLength(written.missingSlices.length);
      expect(read.header.imageComments).toBe(written.findingsText);
      const back = inverseOf(written.volume.affine);
      let compared = 0;
      for (let k = 0; k < nk; k++) {
        if (read.missingSlices.includes(k)) continue;
        for (const [i, j] of [
          [0, 0],
          [20, 18],
          [39, 35],
          [13, 22],
        ] as const) {
          const p = volume.affine.slice(0, 3).map((r) => r[0] * i + r[1] * j + r[2] * k + r[3]);
          const voxel = [0, 1, 2].map(
            (r) =>
              back[r * 4]! * p[0]! + back[r * 4 + 1]! * p[1]! + back[r * 4 + 2]! * p[2]! + back[r * 4 + 3]!,
          );
          const [a, b, c] = voxel.map(Math.round) as [number, number, number];
          voxel.forEach((v, n) => expect(Math.abs(v - [a, b, c][n]!)).toBeLessThan(1e-3));
          const stored = volume.data[i + ni * (j + nj * k)]! * volume.slope + volume.intercept;
          expect(stored).toBe(written.volume.data[a + ni * (b + nj * c)]);
          compared++;
        }
      }
      expect(compared).toBeGreaterThanOrEqual(28);
    }
  });

  it.skipIf(skipped(!hasCommand('dcmdump'), 'dcmdump (dcmtk) is not installed'))(
    'is read by dcmdump, with the header of the series',
    () => {
      const { header } = study.series[0]!;
      const { stdout, status } = spawnSync('dcmdump', ['+L', files[0]!], { encoding: 'utf8' });
      expect(status).toBe(0);
      const value = (tag: string): string | undefined =>
        new RegExp(`^\\(${tag}\\) \\w\\w (?:\\[(.*?)\\]|(\\S+))`, 'm').exec(stdout)?.slice(1).find(Boolean);
      expect(value('0008,0060')).toBe('MR');
      expect(value('0008,103e')).toBe(header.seriesDescription);
      expect(value('0010,0020')).toBe('SIM-21-00003');
      expect(value('0018,0015')).toBe('ABDOMEN');
      expect(Number(value('0018,0080'))).toBe(header.repetitionTime);
      expect(value('0020,4000')).toBe(study.series[0]!.findingsText);
    },
  );

  it('writes the report beside the series when asked', async () => {
    const written = await writeStudy(join(dir, 'with-report'), study, { report: true });
    expect(await readFile(written.reportFile!, 'utf8')).toBe(`${study.report}\n`);
    expect(study.report).toMatch(/^Technique: MRI of the abdomen: .*\nFindings: .*\nImpression: /);
  });
});

/** Hash of every file under a folder, by its path in it. */
async function hashes(root: string): Promise<Record<string, string>> {
  const names = (await readdir(root, { recursive: true })).filter((name) => name.endsWith('.dcm')).sort();
  const out: Record<string, string> = {};
  for (const name of names) {
    out[name] = createHash('sha256')
      .update(await readFile(join(root, name)))
      .digest('hex');
  }
  return out;
}

describe('writeCorpus', () => {
  const built = existsSync(new URL('../../dist/simulate/worker.js', import.meta.url));

  it.skipIf(skipped(!built, 'dist is not built'))(
    'writes the same files by threads and without',
    async () => {
      const options = { patients: 3, seed: 5, size: 'tiny', series: 2 } as const;
      const progress: number[] = [];
      const one = await writeCorpus(join(dir, 'one'), { ...options, threads: 0 });
      const two = await writeCorpus(join(dir, 'two'), {
        ...options,
        threads: 2,
        onProgress: (done, total) => progress.push(done / total),
      });
      expect(two).toEqual(one);
      expect(one.studies).toBe(3);
      expect(one.series).toBe(6);
      const [a, b] = [await hashes(join(dir, 'one')), await hashes(join(dir, 'two'))];
      expect(Object.keys(a)).toHaveLength(one.files);
      expect(b).toEqual(a);
      expect(progress).toEqual([1 / 3, 2 / 3, 1]);
    },
  );

  it('stops when it is told to', async () => {
    const abort = new AbortController();
    const run = writeCorpus(join(dir, 'stopped'), {
      patients: 500,
      seed: 5,
      size: 'tiny',
      threads: 0,
      signal: abort.signal,
      onProgress: () => abort.abort(new Error('enough')),
    });
    await expect(run).rejects.toThrow('enough');
    expect((await readdir(join(dir, 'stopped'))).length).toBe(1);
  });

  it('says why a study cannot be written', async () => {
    const options = { patients: 1, seed: 1, size: 'tiny', series: 1, threads: 0 } as const;
    await expect(writeCorpus(files[0]!, options)).rejects.toThrow(/ENOTDIR|EEXIST/);
    await expect(writeCorpus(dir, { ...options, patients: 0 })).rejects.toThrow(
      /at least one patient, got 0/,
    );
  });
});
