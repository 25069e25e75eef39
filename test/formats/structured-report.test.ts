/** Predictions as DICOM SR, judged by dicom3tools and DCMTK where they are installed. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  groupSeries,
  type MrHeader,
  readDicomHeader,
  writeDicomSeries,
} from '../../src/formats/dicom/index.js';
import { encodePrediction, WARNING } from '../../src/formats/dicom/structured-report.js';
import { readTree } from '../../src/formats/dicom/tree.js';

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'precess-sr-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const has = (tool: string): boolean => {
  const found = spawnSync('which', [tool]).status === 0;
  if (!found) process.stderr.write(`skipped: ${tool} is not installed\n`);
  return found;
};

async function report(): Promise<{ path: string; bytes: Uint8Array; instances: number }> {
  const images = join(dir, 'images');
  const header: MrHeader = {
    patientId: 'p1',
    patientName: 'Made^Up',
    birthDate: '19700101',
    sex: 'F',
    studyUid: '2.25.1',
    seriesUid: '2.25.2',
    frameOfReferenceUid: '2.25.3',
    studyDate: '20260102',
    manufacturer: 'M',
    model: '',
    fieldStrengthT: 3,
    seriesDescription: 't2',
    protocolName: 't2',
    bodyPart: 'BRAIN',
    sequenceName: '',
    scanningSequence: 'SE',
    repetitionTime: 1,
    echoTime: 1,
    flipAngle: 90,
    sliceThickness: 3,
    seriesNumber: 2,
  };
  const affine = [
    [1, 0, 0, 0],
    [0, 1, 0, 0],
    [0, 0, 3, 0],
    [0, 0, 0, 1],
  ] as const;
  const data = Uint16Array.from({ length: 4 * 4 * 3 }, (_, n) => n);
  const volume = { data, shape: [4, 4, 3] as const, affine, slope: 1, intercept: 0, valid: null };
  await writeDicomSeries(images, volume, header);
  const files = await readdir(images);
  const { series } = groupSeries(await Promise.all(files.map((file) => readDicomHeader(join(images, file)))));
  const bytes = encodePrediction(series[0]!, {
    algorithm: 'Precess head lésion',
    version: 'run-0123',
    decision: 'tumour',
    probabilities: { 'no tumour': 0.25, tumour: 0.75 },
    time: new Date('2026-01-03T04:05:06Z'),
  });
  const path = join(dir, 'prediction.dcm');
  await writeFile(path, bytes);
  return { path, bytes, instances: files.length };
}

describe('encodePrediction', () => {
  it('stays in the study of the images, in a series of its own', async () => {
    const { bytes } = await report();
    const { nodes, text } = readTree(bytes, 'sr');
    const value = (tag: number): string => text(nodes.find((node) => node.tag === tag)!).replace(/\0$/, '');
    expect(value(0x0020000d)).toBe('2.25.1');
    expect(value(0x0020000e)).not.toBe('2.25.2');
    expect(value(0x00100020)).toBe('p1');
    expect(value(0x0040a493)).toBe('UNVERIFIED');
  });

  it.skipIf(!has('dciodvfy'))('has no error that dciodvfy finds', async () => {
    const { path } = await report();
    const { stderr, stdout } = spawnSync('dciodvfy', [path], { encoding: 'utf8' });
    const lines = `${stdout}${stderr}`.split('\n');
    expect(lines).toContain('EnhancedSR');
    expect(lines.filter((line) => line.startsWith('Error'))).toEqual([]);
  });

  it.skipIf(!has('dsrdump'))(
    'is read by dsrdump, with the warning, model, probabilities and images',
    async () => {
      const { path, instances } = await report();
      const { status, stdout, stderr } = spawnSync('dsrdump', ['+Pl', path], { encoding: 'utf8' });
      expect(status, stderr).toBe(0);
      expect(stdout).toContain(WARNING);
      expect(stdout).toMatch(/Algorithm Name.*Precess head lésion/);
      expect(stdout).toMatch(/Algorithm Version.*run-0123/);
      expect(stdout).toMatch(/NUM.*Probability of tumour.*0\.750000/);
      expect(stdout.match(/contains IMAGE/g)).toHaveLength(instances);
    },
  );
});
