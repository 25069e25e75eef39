import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Pseudonyms } from '../../src/corpus/pseudonym.js';
import type { Series } from '../../src/corpus/series.js';
import { newModel } from '../../src/models/new-model.js';
import { modelConfig } from '../../src/models/sizes.js';
import { readHead, writeHead } from '../../src/tasks/classify/head-file.js';
import { fitHead, predictHead, type Target } from '../../src/tasks/classify/head.js';
import { readLabels } from '../../src/tasks/classify/labels.js';
import { Random } from '../../src/volume/random.js';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'precess-labels-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const names = new Pseudonyms(Buffer.alloc(32, 7));
/** Three patients with two series each; the last is from a BIDS folder. */
const series = ['A1', 'B2', 'sub-03'].flatMap((patient, p) =>
  [0, 1].map((n) => ({
    id: names.series('dicom', `1.2.${p}.${n}`, ''),
    studyId: names.study('dicom', `1.2.${p}`),
    patientId:
      patient === 'sub-03' ? names.patient('nifti', 'bids', patient) : names.patient('dicom', patient),
  })),
) as unknown as Series[];

async function read(text: string, options: Parameters<typeof readLabels>[3] = {}, pseudonyms = names) {
  const path = join(dir, 'labels.csv');
  await writeFile(path, text);
  return readLabels(path, series, pseudonyms, options);
}

describe('readLabels', () => {
  it("matches the archive's own patient ids and BIDS names, and counts what it cannot match", async () => {
    const { level, target, units, unmatched, unlabelled } = await read(
      '\uFEFFPatient_ID,diagnosis\nA1,AD\nbids/sub-03,control\nZ9,AD\nB2,n/a\n',
    );
    expect(level).toBe('patient');
    expect(target).toEqual({ kind: 'classes', names: ['AD', 'control'], values: [0, 0, 1, 1] });
    expect(units).toEqual([0, 1, 4, 5].map((n) => series[n]!.patientId));
    expect(unmatched).toEqual([4]);
    expect(unlabelled.map(({ id }) => id)).toEqual([series[2]!.id, series[3]!.id]);
  });

  it('matches UIDs and ids of the corpus, with semicolons and tabs', async () => {
    const bySeries = await read(`SeriesInstanceUID;grade\n1.2.0.1;2\n${series[2]!.id};10\n1.2.2.0;9\n`);
    expect(bySeries.level).toBe('series');
    // Classes that are numbers are in their order, not in that of their letters.
    expect(bySeries.target).toEqual({ kind: 'classes', names: ['2', '9', '10'], values: [0, 2, 1] });
    const byStudy = await read('study\tage\tsex\n1.2.0\t40\tF\n1.2.1\t61\tM\n', { target: ['sex'] });
    expect(byStudy.target.values).toEqual([0, 0, 1, 1]);
  });

  it('tells numbers from classes, and reads several labels', async () => {
    const numbers = await read('patient,age\nA1,40.5\nB2,61\n', { kind: 'number' });
    expect(numbers.target).toEqual({ kind: 'number', names: ['age'], values: [40.5, 40.5, 61, 61] });
    const labels = await read('patient,tumour,cyst\nA1,1,no\nB2,0,yes\n', { target: ['tumour', 'cyst'] });
    expect(labels.target).toEqual({
      kind: 'labels',
      names: ['tumour', 'cyst'],
      values: [
        [1, 0],
        [1, 0],
        [0, 1],
        [0, 1],
      ],
    });
    const ordered = await read('patient,grade\nA1,low\nB2,high\n', {
      kind: 'ordinal',
      order: ['low', 'middle', 'high'],
    });
    expect(ordered.target).toEqual({
      kind: 'ordinal',
      names: ['low', 'middle', 'high'],
      values: [0, 0, 2, 2],
    });
  });

  it.each([
    ['patient,y\nQ,1\nR,2\n', {}, /none of its 2 rows/],
    ['patient,y\nA1,1\nB2,1\n', {}, /two classes.*"1"/],
    ['patient,y\nA1,1\nA1,2\n', {}, /lines 2 and 3 differ/],
    ['name,y\nA1,1\n', {}, /named series, study or patient, got name, y/],
    ['patient,y,z\nA1,1,2\n', {}, /which column .* y, z/],
    ['patient,y\nA1,1\n', { target: ['w'] }, /target column "w"/],
    ['patient,y\nA1,a\nB2,b\n', { kind: 'number' as const }, /numbers, got "a"/],
    ['patient,y,z\nA1,1,maybe\nB2,0,1\n', { target: ['y', 'z'] }, /0 or 1, got "maybe"/],
    ['patient,y\nA1,a\nB2,b\n', { order: ['a', 'c'] }, /--order, got "b"/],
    ['patient,y\n', {}, /rows below its header/],
    ['patient,y\nA1,"1\n', {}, /table with a header/],
  ])('refuses %j', async (text, options, message) => {
    await expect(read(text, options)).rejects.toThrow(message);
  });

  it('never names a patient in an error', async () => {
    const secret = 'patient,y\nMueller-77,1\nMueller-77,2\n';
    await expect(read(secret)).rejects.toThrow(/^(?!.*Mueller)/);
  });
});

describe('a head in a folder', () => {
  it.each(['classes', 'ordinal', 'labels', 'number'] as const)('predicts as before: %s', async (kind) => {
    const random = new Random(2);
    const values = Array.from({ length: 24 }, (_, n) => n % 3);
    // As wide as what the encoder beside the head makes.
    const width = 2 * modelConfig('nano').embedDim;
    const features = values.map((value) =>
      Float32Array.from({ length: width }, (_, d) => (d === 0 ? 3 * value : 0) + random.normal()),
    );
    const cases = { features, patients: values.map((_, n) => `p${n}`) };
    const target: Target =
      kind === 'labels'
        ? { kind, names: ['x', 'y'], values: values.map((v) => [v === 0 ? 1 : 0, v === 1 ? 1 : 0]) }
        : kind === 'number'
          ? { kind, names: ['age'], values }
          : { kind, names: ['a', 'b', 'c'], values };
    for (const method of ['logistic', 'knn'] as const) {
      const head = fitHead(cases, target, method);
      const folder = join(dir, `${kind}-${method}`);
      const model = newModel({ ...modelConfig('nano'), layers: 1 }, 1);
      await writeHead(folder, { head, level: 'study', patchMm: 16, maxTokens: 512, model });
      const back = await readHead(folder);
      expect(back.level).toBe('study');
      expect(back.maxTokens).toBe(512);
      for (const row of features.slice(0, 5)) {
        const [before, after] = [predictHead(head, row), predictHead(back.head, row)];
        expect(after.value).toBeCloseTo(before.value, 4);
        before.probabilities.forEach((p, c) => expect(after.probabilities[c]).toBeCloseTo(p, 4));
      }
    }
  });

  it('is refused where it is none', async () => {
    await expect(readHead(join(dir, 'nowhere'))).rejects.toThrow(/made by "precess fit"/);
  });
});
