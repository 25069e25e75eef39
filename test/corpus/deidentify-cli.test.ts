/** precess deidentify: what is written is whole, the corpus's own ids, and names nobody. */
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { groupSeries, loadSeries, readDicomHeader } from '../../src/formats/dicom/index.js';
import { hasCommand, skipped } from '../data.js';
import { run } from './command.js';
import { dicom, filesUnder, folder, image } from './made.js';
import { PLANTED, writePlanted } from './planted-study.js';

interface Written {
  written: number;
  skipped: { path: string; reason: string }[];
}

async function deidentify(sources: readonly string[], dir: string, ...options: string[]): Promise<Written> {
  const args = ['--corpus', join(dir, 'c'), '--out', join(dir, 'out'), '--json', ...options];
  return JSON.parse((await run('deidentify', ...sources, ...args)).stdout) as Written;
}

describe('precess deidentify', () => {
  it('writes images without any planted value, under the ids of the corpus', async () => {
    const dir = await folder();
    const { sources } = await writePlanted(join(dir, 'in'));
    const { written, skipped: left } = await deidentify(sources, dir);
    expect(written).toBeGreaterThan(5);
    // Reports, tables and NIfTI are no MR images in DICOM.
    expect(left.length).toBeGreaterThan(0);
    const files = await filesUnder(join(dir, 'out'));
    expect(files).toHaveLength(written);
    for (const file of files) {
      const bytes = await readFile(file);
      const texts = [bytes.toString('latin1'), bytes.toString('utf8'), file.slice(dir.length)];
      for (const [name, value] of Object.entries(PLANTED))
        expect(
          texts.some((text) => text.toLowerCase().includes(value.toLowerCase())),
          `${name} in a file`,
        ).toBe(false);
    }
    const headers = await Promise.all(files.map((file) => readDicomHeader(file)));
    const ingested = JSON.parse(
      (await run('ingest', ...sources, '--corpus', join(dir, 'c'), '--json')).stdout,
    ) as { series: { patientId: string; date: string | null }[] };
    const patients = new Set(ingested.series.map(({ patientId }) => patientId));
    for (const { patientId } of headers) expect(patients).toContain(patientId);
    const dates = new Set(ingested.series.map(({ date }) => date?.replaceAll('-', '')));
    for (const { studyDate } of headers) expect(dates).toContain(studyDate);
  });

  it('keeps the image, and takes away what its options say', async () => {
    const dir = await folder();
    const volume = image([20, 18, 4]);
    await dicom(join(dir, 'in'), { seriesDescription: 't2 axial', sex: 'F', studyDate: '20110707' }, volume);
    await deidentify(
      [join(dir, 'in')],
      dir,
      '--no-modified-dates',
      '--no-descriptors',
      '--patient-characteristics',
    );
    const files = await filesUnder(join(dir, 'out'));
    const headers = await Promise.all(files.map((file) => readDicomHeader(file)));
    expect(headers[0]!.studyDate).toBe('');
    expect(headers[0]!.seriesDescription).toBe('');
    expect(headers[0]!.sex).toBe('F');
    const { series } = groupSeries(headers);
    expect(series).toHaveLength(1);
    const loaded = await loadSeries(series[0]!);
    expect(loaded.shape).toEqual(volume.shape);
    expect(Array.from(loaded.data)).toEqual(Array.from(volume.data));
  });

  it.skipIf(skipped(!hasCommand('dcmftest'), 'dcmftest (dcmtk) is not installed'))(
    'writes files that dcmtk takes for DICOM',
    async () => {
      const dir = await folder();
      await dicom(join(dir, 'in'));
      await deidentify([join(dir, 'in')], dir);
      const result = spawnSync('dcmftest', await filesUnder(join(dir, 'out')), { encoding: 'utf8' });
      expect(result.status, result.stdout).toBe(0);
    },
  );

  it('says so where nothing is usable', async () => {
    const dir = await folder();
    await expect(
      run('deidentify', dir, '--corpus', join(dir, 'c'), '--out', join(dir, 'out')),
    ).rejects.toThrow(/must hold MR images/);
  });
});
