/** `precess evaluate` of a segmentation head, on trees with the names of public sets and on a user's own images. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { dice, hausdorff95, surfaceDistances } from '../../src/evaluate/overlap.js';
import { surfaceDice } from '../../src/evaluate/surfels.js';
import { readNiftiFile, writeNiftiFile } from '../../src/formats/nifti/index.js';
import { anatomyOf, synthesizeAs } from '../../src/tasks/segment/synthesis.js';
import type { Volume } from '../../src/volume/volume.js';
import { TOY_SYNTHESIS, toyMap } from '../tasks/segment/toy.js';
import { expectFailure, json, precess, workFolder } from './command.js';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const dir = await workFolder();
const at = (...parts: string[]): string => join(dir, ...parts);

interface Measured {
  value: number;
  ci95: [number, number];
  n: number;
}
interface Document {
  suite: string;
  metrics: Record<string, Measured>;
  series: number;
  patients: number;
  toleranceMm: number;
  channel?: string;
  part?: string;
  notes: string[];
}

/** Images of toy patients with their maps: 1 the ball, 2 the box. */
const toys = new Map<number, { image: Volume; mask: Volume }>();
for (let n = 0; n < 6; n++) {
  const { volume, numbers } = synthesizeAs(
    anatomyOf(toyMap(n), TOY_SYNTHESIS, 'map'),
    TOY_SYNTHESIS,
    { kind: 'turbo spin echo', tr: 4000, te: 90 },
    [3, 3, 3],
    n,
  );
  toys.set(n, { image: volume, mask: { ...volume, data: numbers, slope: 1, intercept: 0 } });
}
const toy = (n: number): { image: Volume; mask: Volume } => toys.get(n)!;
/** A map with other values. */
const mapped = (mask: Volume, value: (one: number) => number): Volume => ({
  ...mask,
  data: Uint8Array.from(mask.data, value),
});

async function put(path: string, volume: Volume): Promise<void> {
  await mkdir(dirname(at(path)), { recursive: true });
  await writeNiftiFile(at(path), volume);
}

const evaluate = (suite: string, ...args: string[]): Promise<Document> =>
  json<Document>('evaluate', suite, '--head', at('head'), '--threads', '1', '--rounds', '200', ...args);

beforeAll(async () => {
  for (const n of [0, 1]) {
    await put(`taught/images/sub-${n}_T2w.nii.gz`, toy(n).image);
    await put(`taught/masks/sub-${n}_T2w_seg.nii.gz`, toy(n).mask);
  }
  for (const n of [2, 3, 4]) {
    await put(`own/images/sub-${n}_T2w.nii.gz`, toy(n).image);
    await put(`own/masks/sub-${n}_T2w_seg.nii.gz`, toy(n).mask);
  }
  await writeFile(at('labels.json'), JSON.stringify({ 'Enhancing tumor': 1, 'necrotic core': [2] }));
  await json(
    ...['fit', 'segment', '--images', at('taught/images'), '--masks', at('taught/masks')],
    ...['--labels', at('labels.json'), '--size', 'nano', '--out', at('head'), '--held-out', '0'],
    ...['--rights', 'CC BY 4.0:train,evaluate', '--steps', '60', '--window', '16,16,16', '--spacing', '3,4'],
    ...['--max-tokens', '512', '--threads', '1'],
  );
});

describe('precess evaluate segment', () => {
  const own = ['--images', at('own/images'), '--masks', at('own/masks')];

  it('measures what "precess segment" writes, label by label, with intervals over patients', async () => {
    const document = await evaluate('segment', ...own, '--tolerance', '4');
    expect(document).toMatchObject({ suite: 'segment', series: 3, patients: 3, toleranceMm: 4 });

    const rows: Record<string, number>[] = [];
    for (const n of [2, 3, 4]) {
      const out = at(`out${n}.nii.gz`);
      await json(
        ...['segment', at('own/images', `sub-${n}_T2w.nii.gz`), '--head', at('head'), '--out', out],
        ...['--threads', '1'],
      );
      const found = (await readNiftiFile(out)).frame(0);
      const { shape } = found;
      const only = (map: Volume, value: number): number[] =>
        Array.from(map.data, (one) => Number(one === value));
      const pair = (value: number) => ({
        truth: only(toy(n).mask, value),
        predicted: only(found, value),
        shape,
        spacingMm: [3, 3, 3] as const,
      });
      rows.push(
        Object.fromEntries(
          Object.entries({ 'Enhancing tumor': 1, 'necrotic core': 2 }).flatMap(([name, value]) => [
            [`dice.${name}`, dice(pair(value))],
            [`nsd.${name}`, surfaceDice(pair(value), 4)],
            [`hd95.${name}`, hausdorff95(surfaceDistances(pair(value)))],
          ]),
        ),
      );
    }
    const mean = (values: number[]): number => values.reduce((sum, one) => sum + one, 0) / values.length;
    for (const name of Object.keys(rows[0]!)) {
      const { value, ci95, n } = document.metrics[name]!;
      const values = rows.map((row) => row[name]!);
      expect(value).toBeCloseTo(mean(values), 4);
      expect(n).toBe(3);
      // Of three patients the interval reaches from the worst to the best, or nearly.
      expect(ci95[0]).toBeGreaterThanOrEqual(Math.min(...values) - 1e-3);
      expect(ci95[1]).toBeLessThanOrEqual(Math.max(...values) + 1e-3);
    }
    // Something was learnt, so that the scores say something.
    expect(document.metrics.dice!.value).toBeGreaterThan(0.2);
    expect(document.metrics.dice!.value).toBeCloseTo(
      (document.metrics['dice.Enhancing tumor']!.value + document.metrics['dice.necrotic core']!.value) / 2,
      9,
    );
  });

  it('counts images of one patient as one, and takes labels of other values', async () => {
    await put(
      'other/masks/a.nii.gz',
      mapped(toy(2).mask, (one) => (one === 1 ? 7 : 0)),
    );
    await writeFile(
      at('pairs.csv'),
      'image,mask,patient\nown/images/sub-2_T2w.nii.gz,other/masks/a.nii.gz,a\n' +
        'own/images/sub-2_T2w.nii.gz,other/masks/a.nii.gz,a\n',
    );
    await writeFile(at('other.json'), JSON.stringify({ 'tumour enhancing': 7, oedema: 9 }));
    const { metrics, patients, notes } = await evaluate(
      'segment',
      ...['--images', at('pairs.csv'), '--labels', at('other.json')],
    );
    expect(patients).toBe(1);
    expect(metrics['dice.tumour enhancing']).toMatchObject({ n: 1 });
    const { ci95, value } = metrics['dice.tumour enhancing']!;
    expect(ci95).toEqual([value, value]);
    expect(notes.join('\n')).toMatch(/head lacks it: oedema/);
    expect(notes.join('\n')).toMatch(/masks lack it: necrotic core/);
    expect(notes.join('\n')).toMatch(/fewer than 10/);
  });

  it('refuses images that the head was taught with, and what does not fit together', async () => {
    const run = (...args: string[]) => precess('evaluate', 'segment', '--threads', '1', ...args);
    const head = ['--head', at('head')];
    expectFailure(
      await run(...head, '--images', at('taught/images'), '--masks', at('taught/masks')),
      1,
      /not taught with, but 2 of 2 are/,
    );
    await writeFile(at('kidneys.json'), JSON.stringify({ 'left kidney': 1 }));
    expectFailure(
      await run(...head, ...own, '--labels', at('kidneys.json')),
      1,
      /the head has Enhancing tumor, necrotic core and the masks left kidney; fit a head with these names/,
    );
    expectFailure(await run(...own), 2, /with --head/);
    expectFailure(await run(...head), 2, /give --images/);
    expectFailure(await run(...head, ...own, '--model', 'm'), 2, /takes no --model/);
    expectFailure(await run(...head, '--images', at('own/images')), 1, /give --masks/);
    expectFailure(await precess('evaluate', 'plane', '--corpus', at('c')), 2, /with --model/);
    expectFailure(
      await precess('evaluate', 'plane', '--model', 'm', ...head),
      2,
      /measures a model: it takes no --head/,
    );
  });
});

describe('precess evaluate of public sets with masks', () => {
  it('BraTS: labels of the year, a channel, and the regions', async () => {
    for (const [n, id] of [
      [2, 'BraTS-GLI-00001-000'],
      [3, 'BraTS-GLI-00001-001'],
      [4, 'BraTS-GLI-00002-000'],
    ] as const) {
      for (const channel of ['t1n', 't1c', 't2w', 't2f'])
        await put(`brats/${id}/${id}-${channel}.nii.gz`, channel === 't2w' ? toy(n).image : toy(5).image);
      await put(
        `brats/${id}/${id}-seg.nii.gz`,
        mapped(toy(n).mask, (one) => [0, 3, 1][one]!),
      );
    }
    const document = await evaluate('brats', '--data', at('brats'), '--channel', 't2');
    expect(document).toMatchObject({ suite: 'brats', series: 3, patients: 2, channel: 't2', toleranceMm: 2 });
    // The head knows no oedema: the whole tumour cannot be put together, its core can.
    expect(Object.keys(document.metrics)).toEqual([
      ...['dice', 'nsd', 'hd95'],
      ...['necrotic core', 'enhancing tumour'].flatMap((name) =>
        ['dice', 'nsd', 'hd95'].map((kind) => `${kind}.${name}`),
      ),
      // Regions lesion by lesion, as BraTS does since 2023.
      ...['TC', 'ET'].flatMap((name) =>
        ['dice', 'nsd', 'hd95', 'lesionDice', 'lesionHd95'].map((kind) => `${kind}.${name}`),
      ),
    ]);
    // Every image has one such lesion, so that false alarms and voxels apart alone can part the two.
    const [whole, each] = ['dice.ET', 'lesionDice.ET'].map((name) => document.metrics[name]!.value);
    expect(each).toBeGreaterThan(0);
    expect(each).toBeLessThanOrEqual(whole! + 0.05);
    expect(document.metrics['dice.ET']).toEqual(document.metrics['dice.enhancing tumour']);
    expect(document.metrics['dice.TC']!.value).toBeGreaterThan(0.2);

    // The same images by themselves.
    const own = await evaluate('segment', '--images', at('own/images'), '--masks', at('own/masks'));
    expect(document.metrics['dice.necrotic core']!.value).toBeCloseTo(
      own.metrics['dice.necrotic core']!.value,
      9,
    );
    const plain = await evaluate('brats', '--data', at('brats'));
    expect(plain.channel).toBe('flair');
    expect(plain.metrics.dice!.value).not.toBeCloseTo(document.metrics.dice!.value, 3);
    const bad = await precess(
      'evaluate',
      'brats',
      '--head',
      at('head'),
      '--data',
      at('brats'),
      '--channel',
      'x',
    );
    expectFailure(bad, 1, /channel x, but there are t1, t1ce, t2, flair/);
  });

  it('TotalSegmentator MRI: a mask for each label, of the test part', async () => {
    let meta = 'image_id;split\n';
    for (const [n, id, part] of [
      [0, 's0001', 'train'],
      [2, 's0002', 'test'],
      [3, 's0003', 'test'],
    ] as const) {
      meta += `${id};${part}\n`;
      await put(`ts/${id}/mri.nii.gz`, toy(n).image);
      const { mask } = toy(n);
      await put(
        `ts/${id}/segmentations/enhancing_tumor.nii.gz`,
        mapped(mask, (one) => Number(one === 1)),
      );
      await put(
        `ts/${id}/segmentations/core_necrotic.nii.gz`,
        mapped(mask, (one) => Number(one === 2)),
      );
      await put(
        `ts/${id}/segmentations/liver.nii.gz`,
        mapped(mask, () => 0),
      );
    }
    await writeFile(at('ts/meta.csv'), meta);
    const document = await evaluate('totalsegmentator-mri', '--data', at('ts'));
    expect(document).toMatchObject({ series: 2, patients: 2, part: 'test', channel: 'mri', toleranceMm: 3 });
    expect(document.notes.join('\n')).toMatch(/head lacks it: liver/);
    await writeFile(
      at('two.csv'),
      'image,mask\n' +
        [2, 3].map((n) => `own/images/sub-${n}_T2w.nii.gz,own/masks/sub-${n}_T2w_seg.nii.gz\n`).join(''),
    );
    const own = await evaluate('segment', '--images', at('two.csv'), '--tolerance', '3');
    for (const [theirs, ours] of [
      ['enhancing_tumor', 'Enhancing tumor'],
      ['core_necrotic', 'necrotic core'],
    ] as const)
      for (const kind of ['dice', 'nsd', 'hd95'])
        expect(document.metrics[`${kind}.${theirs}`]!.value).toBeCloseTo(
          own.metrics[`${kind}.${ours}`]!.value,
          9,
        );

    const run = (...args: string[]) =>
      precess('evaluate', 'totalsegmentator-mri', '--head', at('head'), '--data', at('ts'), ...args);
    expectFailure(await run('--part', 'validation'), 1, /of the part "validation", but none is/);
    // The training part is what the head has seen.
    expectFailure(await run('--part', 'train'), 1, /not taught with, but 1 of 1 are/);
    expectFailure(await run('--images', at('own/images')), 2, /is a public data set/);
  });
});

it('is told in the help', async () => {
  const { stdout } = await precess('evaluate', '--help');
  expect(stdout).toMatch(/precess evaluate segment --head/);
  expect(stdout).toMatch(/brats\s+flair/);
});
