/** precess evaluate through the real command, on an encoder with random weights. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { registerEvaluate } from '../../src/cli/evaluate.js';
import { CliError, UsageError } from '../../src/cli/shared.js';
import { Corpus, ingest, parseRightsFile, quarantine } from '../../src/corpus/index.js';
import { EvaluateError } from '../../src/evaluate/error.js';
import { writeNifti } from '../../src/formats/nifti/write.js';
import { ModelError } from '../../src/models/sizes.js';
import { writeModel } from '../../src/models/model-file.js';
import { newModel } from '../../src/models/new-model.js';
import { modelConfig } from '../../src/models/sizes.js';
import { TaskError } from '../../src/tasks/error.js';
import { Random } from '../../src/volume/random.js';
import type { Volume } from '../../src/volume/volume.js';
import { expectFailure, json, precess, workFolder } from './command.js';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

interface Evaluated {
  suite: string;
  metrics: Record<string, { value: number; ci95: [number, number]; n: number }>;
  classes: string[];
  labels: { name: string; metrics: Evaluated['metrics'] }[];
  series: number;
  patients: number;
  subgroups: { by: string; groups: { n: number; metrics?: object; tooSmall?: string }[] }[];
  against: {
    metrics: Evaluated['metrics'];
    differences: Record<string, { difference: number; ci95: [number, number]; p: number; test: string }>;
  };
}

let dir = '';
let corpus = '';
let model = '';
let series: { id: string; patientId: string; plane: string }[] = [];
/** Nothing may use it. */
let quarantined = '';

beforeAll(async () => {
  dir = await workFolder();
  corpus = join(dir, 'corpus');
  for (let n = 0; n < 12; n++) await writePatient(join(dir, 'in'), n);
  const rights = { licence: 'own', use: ['evaluate'], reference: null, expires: null, attribution: null };
  const all = await ingest([join(dir, 'in')], {
    corpus,
    rights: parseRightsFile(JSON.stringify(rights)),
    workers: 0,
  });
  quarantined = all.series[0]!.id;
  series = all.series.slice(1);
  const opened = await Corpus.open(corpus, { readOnly: false });
  await quarantine(opened, [quarantined]);
  opened.close();
  model = join(dir, 'model.safetensors');
  await writeModel(model, newModel({ ...modelConfig('nano'), layers: 2 }, 2));
});

const on = (suite: string, ...args: string[]): string[] => [
  'evaluate',
  suite,
  '--corpus',
  corpus,
  '--model',
  model,
  '--threads',
  '1',
  '--max-tokens',
  '32',
  ...args,
];

/** Two contrasts of a body of its own form, in BIDS; patients are scanned axially, sagittally and coronally in turn. */
async function writePatient(root: string, n: number): Promise<void> {
  const random = new Random(n, 6);
  const half = [0, 1, 2].map(() => random.uniform(5, 11));
  const lump = half.map((h) => 12 + random.uniform(-0.5, 0.5) * h);
  const affine = Array.from({ length: 4 }, (_, r) =>
    Array.from({ length: 4 }, (__, c) =>
      r === 3 ? Number(c === 3) : c < 3 && r === (c + n) % 3 ? (c === 2 ? 6 : 4) : 0,
    ),
  ) as unknown as Volume['affine'];
  const folder = join(root, `sub-${10 + n}`, 'anat');
  await mkdir(folder, { recursive: true });
  for (const [contrast, inside] of [
    ['T1w', 150],
    ['T2w', 900],
  ] as const) {
    const data = new Float32Array(24 ** 3);
    for (let v = 0; v < data.length; v++) {
      const at = [v % 24, Math.floor(v / 24) % 24, Math.floor(v / 576)];
      if (Math.hypot(...at.map((x, d) => (x - 12) / half[d]!)) > 1) continue;
      data[v] = (Math.hypot(...at.map((x, d) => x - lump[d]!)) < 3 ? inside : 500) + 20 * random.normal();
    }
    const path = join(folder, `sub-${10 + n}_${contrast}`);
    await writeFile(
      `${path}.nii`,
      writeNifti({ shape: [24, 24, 24], data, affine, slope: 1, intercept: 0, valid: null }),
    );
    await writeFile(
      `${path}.json`,
      JSON.stringify({
        Manufacturer: n % 2 ? 'Siemens' : 'GE',
        MagneticFieldStrength: 3,
        BodyPartExamined: 'KNEE',
      }),
    );
  }
}

/** The command in this process, for errors: those of these classes end with one line and 1, or 2 for usage. */
async function inProcess(...args: string[]): Promise<void> {
  const program = new Command();
  registerEvaluate(program);
  await program.parseAsync(args, { from: 'user' });
}

/** A MetaImage of a body with a lump of its own, 24³ voxels of 4 mm. */
function mha(seed: number): Buffer {
  const random = new Random(seed, 5);
  const lump = [0, 1, 2].map(() => random.uniform(6, 18));
  const data = new Int16Array(24 ** 3);
  for (let n = 0; n < data.length; n++) {
    const [i, j, k] = [n % 24, Math.floor(n / 24) % 24, Math.floor(n / 576)];
    if (Math.hypot(i - 12, j - 12, k - 12) > 10.5) continue;
    const inside = Math.hypot(i - lump[0]!, j - lump[1]!, k - lump[2]!) < 6;
    data[n] = (inside ? 150 : 600) + 20 * random.normal();
  }
  const header =
    'ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n' +
    'TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 4 4 4\nDimSize = 24 24 24\n' +
    'ElementType = MET_SHORT\nElementDataFile = LOCAL\n';
  return Buffer.concat([Buffer.from(header), Buffer.from(data.buffer)]);
}

describe('precess evaluate', () => {
  it('measures a field suite with intervals, beside another model, and draws its page', async () => {
    const report = join(dir, 'plane.html');
    const other = join(dir, 'other.safetensors');
    await writeModel(other, newModel({ ...modelConfig('nano'), layers: 1 }, 3));
    const settings = ['--folds', '3', '--rounds', '200', '--method', 'knn', '--against', other];
    const result = await json<Evaluated>(...on('plane', ...settings, '--report', report));
    expect(result.suite).toBe('plane');
    expect(result.patients).toBe(12);
    expect(result.classes.every((name) => series.some(({ plane }) => plane === name))).toBe(true);
    for (const { value, ci95, n } of Object.values(result.metrics)) {
      expect(value).toBeGreaterThanOrEqual(0);
      expect(ci95[0]).toBeLessThanOrEqual(value);
      expect(ci95[1]).toBeGreaterThanOrEqual(value);
      expect(n).toBe(12);
    }
    expect(result.subgroups.map(({ by }) => by)).toEqual(expect.arrayContaining(['manufacturer', 'site']));
    for (const { groups } of result.subgroups)
      for (const { n, metrics, tooSmall } of groups) {
        expect(n < 10 ? tooSmall : 'enough').toMatch(n < 10 ? /fewer than 10/ : /enough/);
        if (n >= 10) expect(metrics).toHaveProperty('accuracy');
      }
    const { metrics, differences } = result.against;
    expect(Object.keys(differences)).toEqual(Object.keys(result.metrics));
    for (const [name, { difference, ci95, p }] of Object.entries(differences)) {
      expect(difference).toBeCloseTo(result.metrics[name]!.value - metrics[name]!.value, 10);
      expect(ci95[0]).toBeLessThanOrEqual(ci95[1]);
      expect(p).toBeGreaterThan(0);
      expect(p).toBeLessThanOrEqual(1);
    }
    const page = await readFile(report, 'utf8');
    expect(page).toContain('Beside the other model');
    expect(page).toContain('<polyline');
    expect(page).toContain(`${result.series} series of 12 patients`);
    expect(page).toContain('Most surely wrong');
    expect(page).toContain('aria-label="map of the series"');
    const shown = new Set(page.match(/se-[0-9a-f]{16}/g));
    expect(shown.size).toBeGreaterThan(8);
    for (const id of shown) expect(series.map((one) => one.id)).toContain(id);
    expect(shown).not.toContain(quarantined);
    const words = page.replace(/data:image\/png;base64,[^"]*/g, '');
    expect(words).not.toMatch(/pt-|st-[0-9a-f]|https?:\/\//);
    expect(page.length).toBeLessThan(2e6);
  });

  it('measures labels of a table at their level', async () => {
    const patients = [...new Set(series.map(({ patientId }) => patientId))];
    const path = join(dir, 'labels.csv');
    await writeFile(path, `patient,arm\n${patients.map((id, n) => `${id},${n % 2}`).join('\n')}\n`);
    const result = await json<Evaluated>(
      ...on('labels', '--labels', path, '--method', 'knn', '--rounds', '200'),
    );
    expect(result.suite).toBe('labels');
    expect(result.series).toBe(23);
    expect(result.patients).toBe(12);
  });

  it('measures several labels, each and in the mean', async () => {
    const patients = [...new Set(series.map(({ patientId }) => patientId))];
    const path = join(dir, 'several.csv');
    const rows = patients.map((id, n) => `${id},${n % 2},${n % 3 === 0 ? 1 : 0}`);
    await writeFile(path, `patient,tear,cyst\n${rows.join('\n')}\n`);
    const args = ['--labels', path, '--target', 'tear,cyst', '--folds', '2', '--rounds', '100'];
    const report = join(dir, 'several.html');
    const { metrics, labels } = await json<Evaluated>(...on('labels', ...args, '--report', report));
    const names = ['auroc', 'auprc', 'f1', 'balancedAccuracy', 'brier', 'ece'];
    expect(Object.keys(metrics)).toEqual(names);
    expect(labels.map(({ name }) => name)).toEqual(['tear', 'cyst']);
    for (const name of names) {
      const [tear, cyst] = labels.map(({ metrics: of }) => of[name]!.value);
      expect(metrics[name]!.value).toBeCloseTo((tear! + cyst!) / 2, 10);
    }
    expect(await readFile(report, 'utf8')).toMatch(/<h3>tear<\/h3>[^]*<polyline[^]*<h3>cyst<\/h3>/);
  });

  it('measures how well an image finds those like it of other patients', async () => {
    const report = join(dir, 'images.html');
    const args = ['--rounds', '100', '--report', report];
    const result = await json<Evaluated>(...on('image-retrieval', ...args));
    expect(result).toMatchObject({ suite: 'image-retrieval', patients: 12 });
    expect(Object.keys(result.metrics)).toEqual(
      [1, 5, 10]
        .flatMap((k) => [`recall@${k}`, `chance@${k}`])
        .concat('map', 'chanceMap')
        .map((name) => `imageToImage.${name}`),
    );
    // One body part in two contrasts, one series of which is missing: of one contrast ten or eleven of the other patients'.
    const chance = result.metrics['imageToImage.chance@1']!.value;
    expect(chance).toBeGreaterThan(10 / 22);
    expect(chance).toBeLessThan(11 / 21);
    const page = await readFile(report, 'utf8');
    expect(page).toContain('those of the same body part and contrast');
    expect(page).not.toContain('predicted by a head');
  });

  it('reads a public data set where it lies, in its published folds', async () => {
    const data = join(dir, 'picai');
    const rows = ['patient_id,study_id,patient_age,case_csPCa,center'];
    for (let n = 0; n < 12; n++) {
      const patient = 10000 + n;
      const folder = join(data, `picai_public_images_fold${n % 2}`, String(patient));
      await mkdir(folder, { recursive: true });
      for (const channel of ['t2w', 'adc', 'hbv'])
        await writeFile(join(folder, `${patient}_${1000000 + n}_${channel}.mha`), mha(n));
      rows.push(`${patient},${1000000 + n},${60 + n},${n % 4 < 2 ? 'YES' : 'NO'},RUMC`);
    }
    await writeFile(join(data, 'marksheet.csv'), rows.join('\n'));
    const args = ['--data', data, '--model', model, '--threads', '1', '--method', 'knn', '--rounds', '100'];
    args.push('--max-tokens', '32', '--report', join(dir, 'picai.html'));
    const result = await precess('evaluate', 'picai', ...args, '--json');
    expect(result, result.stderr).toMatchObject({ code: 0 });
    const document = JSON.parse(result.stdout) as Evaluated;
    expect(document).toMatchObject({ suite: 'picai', series: 12, patients: 12, classes: ['no', 'yes'] });
    expect(document).toMatchObject({ published: { scored: 'auroc', splitUsed: true } });
    expect(document.subgroups.find(({ by }) => by === 'site')!.groups).toMatchObject([
      { name: 'RUMC', n: 12 },
    ]);
    expect(result.stdout + result.stderr).not.toMatch(/1000[01]\d/);
    expect(await readFile(join(dir, 'picai.html'), 'utf8')).not.toMatch(/1000[01]\d_|picai_public/);
    await expect(inProcess('evaluate', 'picai', '--model', model)).rejects.toThrow(/its folder with --data/);
    await expect(inProcess('evaluate', 'brats', '--head', dir)).rejects.toThrow(/its folder with --data/);
    await expect(inProcess('evaluate', 'brats', '--model', model)).rejects.toThrow(/takes no --model/);

    // One patient's study in the other fold, too.
    const to = join(data, 'picai_public_images_fold1', '10000');
    await mkdir(to, { recursive: true });
    for (const channel of ['t2w', 'adc', 'hbv'])
      await writeFile(join(to, `10000_1000099_${channel}.mha`), mha(0));
    await writeFile(join(data, 'marksheet.csv'), [...rows, '10000,1000099,60,YES,RUMC'].join('\n'));
    const both = await precess('evaluate', 'picai', ...args);
    expectFailure(both, 1, /split: a patient must stand on one side only/);
    expect(both.stderr).not.toMatch(/10000|encoding/);
  });

  it('refuses wrong labels, weights of another size, a model without text, and wrong usage', async () => {
    const table = async (name: string, rows: string[]): Promise<string[]> => {
      await writeFile(join(dir, name), rows.join('\n'));
      return on('labels', '--labels', join(dir, name));
    };
    const strangers = await table('strangers.csv', ['patient,arm', 'pt-0000000000000000,1', 'pt-1,0']);
    const alike = await table('alike.csv', [
      'patient,arm',
      ...series.map(({ patientId }) => `${patientId},1`),
    ]);
    const larger = join(dir, 'larger.safetensors');
    const { config, ...rest } = newModel({ ...modelConfig('nano'), layers: 2 }, 2);
    await writeModel(larger, { ...rest, config: { ...config, embedDim: 2 * config.embedDim } });

    // Two through the process, for what a person sees; the rest only for their errors, which starting takes longest of.
    expectFailure(await precess(...strangers), 1, /must name series of the corpus.*none of its 2 rows/);
    expectFailure(await precess(...on('labels')), 2, /--labels goes with/);
    const failures: [string[], new (...args: never[]) => Error, RegExp][] = [
      [alike, TaskError, /at least two classes, but every matched row/],
      [on('plane', '--model', larger), ModelError, /this model needs .*use the size it was trained with/],
      [on('retrieval'), CliError, /must have met text/],
      [on('beauty'), UsageError, /SUITE is one of contrast/],
      [on('plane', '--where', "plane = 'axial'"), EvaluateError, /at least two kinds of plane/],
      [on('plane', '--where', "plane = 'none'"), CliError, /must hold series that match/],
    ];
    for (const [args, kind, message] of failures) {
      const failed = inProcess(...args);
      await expect(failed).rejects.toThrow(message);
      await expect(failed).rejects.toBeInstanceOf(kind);
    }
  });
});
