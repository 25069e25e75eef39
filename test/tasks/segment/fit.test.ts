/** Learning from maps alone, on with what was learnt, and labels of whole images. */
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseRights } from '../../../src/corpus/rights.js';
import { diceByLabel } from '../../../src/evaluate/overlap.js';
import { writeModel } from '../../../src/models/model-file.js';
import { newModel } from '../../../src/models/new-model.js';
import { readSafetensors, writeSafetensors, type NamedTensor } from '../../../src/models/safetensors.js';
import { modelConfig } from '../../../src/models/sizes.js';
import { fitSegment, type FitOptions } from '../../../src/tasks/segment/fit.js';
import {
  readSegmentHead,
  SEGMENT_FILE,
  writeSegmentHead,
  type SegmentHead,
} from '../../../src/tasks/segment/head-file.js';
import { labelTable, numbersIn } from '../../../src/tasks/segment/labels.js';
import { segmentImage } from '../../../src/tasks/segment/image.js';
import { majorityNumbers } from '../../../src/tasks/segment/scene.js';
import { Segmenter } from '../../../src/tasks/segment/segmenter.js';
import { pairSource, type SceneSource } from '../../../src/tasks/segment/source.js';
import { anatomyOf, CONTRASTS, synthesizeAs } from '../../../src/tasks/segment/synthesis.js';
import { apply, invert } from '../../../src/volume/affine.js';
import { reorient } from '../../../src/volume/orientation.js';
import type { Vec3 } from '../../../src/volume/volume.js';
import { TOY_TABLE, TOY_TISSUES, toyEncoder, toyMap, WORKING } from './toy.js';

const dir = await mkdtemp(join(tmpdir(), 'precess-segment-'));
afterAll(() => rm(dir, { recursive: true, force: true }));

const options = {
  tissues: TOY_TISSUES,
  table: TOY_TABLE,
  spacingMm: [3, 4] as const,
  working: WORKING,
  contrasts: CONTRASTS,
};
const anatomies = [0, 1, 3, 6].map((n) => anatomyOf(toyMap(n), options, `map ${n}`));
// T2-weighted all of them, and a few images again and again, so that little has to be learnt.
const drawn = new Map<number, ReturnType<SceneSource['draw']>>();
const source: SceneSource = {
  mirrors: true,
  adapts: false,
  ids: ['lm-0', 'lm-1', 'lm-3', 'lm-6'],
  draw(index) {
    const n = index % 8;
    const made = drawn.get(n) ?? scene(n);
    drawn.set(n, made);
    return made;
  },
};
function scene(n: number): ReturnType<SceneSource['draw']> {
  const anatomy = anatomies[n % 4]!;
  const sequence = { kind: 'turbo spin echo', tr: 4000 + 300 * n, te: 70 + 6 * n } as const;
  const { volume } = synthesizeAs(anatomy, options, sequence, [3, 3, 3 + (n % 3) / 4], n);
  const image = segmentImage(volume, WORKING);
  return { image, numbers: majorityNumbers(image, anatomy.map, anatomy.numbers) };
}
const model = toyEncoder();
const base: Omit<FitOptions, 'run' | 'steps'> = {
  model,
  table: TOY_TABLE,
  rights: parseRights('own:train,evaluate'),
  seed: 2,
  side: [16, 16, 16],
  reuse: 10,
  working: WORKING,
  maxTokens: 512,
  learningRate: 1e-2,
  threads: 1,
};

async function weights(run: string): Promise<string> {
  return (await readFile(join(run, 'checkpoints', 'step-00000004', 'state.safetensors'))).toString('base64');
}

describe('a head', () => {
  it('learns structures from maps alone and finds them in another, whatever the order of axes', async () => {
    const { head, result } = await fitSegment(source, { ...base, run: join(dir, 'toy'), steps: 65 });
    expect(result).toEqual({ step: 65, interrupted: false });
    expect(head.model.provenance).toMatchObject({ series: 4, runs: [{ kind: 'fit segment' }] });
    await writeSegmentHead(join(dir, 'toy'), head);
    const segmenter = await Segmenter.open(await readSegmentHead(join(dir, 'toy')), { threads: 1 });
    try {
      const held = anatomyOf(toyMap(5), options, 'held out');
      const { volume, numbers } = synthesizeAs(
        held,
        options,
        { kind: 'turbo spin echo', tr: 5000, te: 90 },
        [3, 3, 3],
        9,
      );
      const found = await segmenter.segment(volume);
      expect([found.shape, found.affine]).toEqual([volume.shape, volume.affine]);
      const plain = diceByLabel(numbers, numbersIn(found, TOY_TABLE), 3);
      expect(plain[1], 'ball').toBeGreaterThan(0.8);
      expect(plain[2], 'box').toBeGreaterThan(0.7);

      // The same image in another order of axes: the same labels at the same places.
      const turned = await segmenter.segment(reorient(volume, 'SAL'));
      const back = reorient(turned, 'LPS').data;
      let same = 0;
      for (let n = 0; n < back.length; n++) same += Number(found.data[n] === back[n]);
      expect(same / found.data.length).toBeGreaterThan(0.999);

      // Told once more by how bright ball and box are here, beside muscle and air that are one label.
      expect(segmenter.head.adapts).toBe(false);
      const adapted = diceByLabel(
        numbers,
        numbersIn(await segmenter.segment(volume, { adapt: true }), TOY_TABLE),
        3,
      );
      expect(adapted[1], 'ball').toBeGreaterThan(0.8);
      expect(adapted[2], 'box').toBeGreaterThan(0.7);
      expect(adapted).not.toEqual(plain);

      // A second look: in a mirror.
      const two = await segmenter.segment(volume, { ensemble: 2 });
      expect(diceByLabel(numbers, numbersIn(two, TOY_TABLE), 3)[1]).toBeGreaterThan(0.75);

      // A click into muscle, which no label names: the voxel is what was said.
      const pointMm: Vec3 = [-3, -26, 20];
      const [i, j, k] = apply(invert(volume.affine), pointMm).map(Math.round) as [number, number, number];
      const at = i + volume.shape[0] * (j + volume.shape[1] * k);
      expect(found.data[at]).toBe(0);
      const clicked = await segmenter.segment(volume, {
        clicks: [{ pointMm, label: 2 }],
      });
      expect(clicked.data[at]).toBe(3);
      await expect(
        segmenter.segment(volume, { clicks: [{ pointMm: [900, 0, 0], label: 1 }] }),
      ).rejects.toThrow(/click: 900,0,0 mm must lie in the image/);
      const only = await segmenter.segment(volume, { only: [1] });
      expect(new Set(only.data)).toEqual(new Set([0, 2]));
    } finally {
      await segmenter.close();
    }
  });

  it('works on cubes of its own size where it was taught so, and says labels on the image it was given', async () => {
    const taught = await readSegmentHead(join(dir, 'toy'));
    expect(taught.isotropic).toBe(false);
    await writeSegmentHead(join(dir, 'cubes'), { ...taught, isotropic: true });
    const segmenter = await Segmenter.open(await readSegmentHead(join(dir, 'cubes')), { threads: 1 });
    try {
      expect(segmenter.head.isotropic).toBe(true);
      const held = anatomyOf(toyMap(5), options, 'held out');
      const sequence = { kind: 'turbo spin echo', tr: 5000, te: 90 } as const;
      const { volume, numbers } = synthesizeAs(held, options, sequence, [2.2, 2.6, 5], 9);
      const found = await segmenter.segment(volume);
      expect([found.shape, found.affine]).toEqual([volume.shape, volume.affine]);
      const dice = diceByLabel(numbers, numbersIn(found, TOY_TABLE), 3);
      expect(dice[1], 'ball').toBeGreaterThan(0.75);
    } finally {
      await segmenter.close();
    }
  });

  it('is the same bit for bit after it was stopped and resumed', async () => {
    const whole = join(dir, 'whole');
    const parted = join(dir, 'parted');
    await fitSegment(source, { ...base, run: whole, steps: 4 });
    const stop = new AbortController();
    const { result } = await fitSegment(source, {
      ...base,
      run: parted,
      steps: 4,
      signal: stop.signal,
      onStep: ({ step }) => step === 2 && stop.abort(),
    });
    expect(result.interrupted).toBe(true);
    expect(result.step).toBeLessThan(4);
    await fitSegment(source, { ...base, run: parted, steps: 4, resume: true });
    expect(await weights(parted)).toBe(await weights(whole));
    const other = { ...source, recipe: { contrasts: ['T1w'] } };
    await expect(fitSegment(other, { ...base, run: parted, steps: 5, resume: true })).rejects.toThrow(
      /was started with recipe = undefined, got \{"contrasts":\["T1w"\]\}/,
    );
  });

  it('goes on from another: weights of labels with the same names, the encoder learning too', async () => {
    const from = await readSegmentHead(join(dir, 'toy'));
    const table = labelTable({ ball: [1] });
    const { volume, numbers } = synthesizeAs(
      anatomies[0]!,
      options,
      { kind: 'spin echo', tr: 500, te: 10 },
      [3, 3, 3],
      3,
    );
    const pair = { volume: reorient(volume, 'RAS'), numbers: numbers.map((n) => Number(n === 1)) };
    const pairs = pairSource([pair], ['im-1'], table, WORKING, 0);
    const run = join(dir, 'on');
    const { head } = await fitSegment(pairs, {
      ...base,
      table,
      from,
      run,
      steps: 1,
      learningRate: 1e-9,
      tuneEncoder: true,
    });
    const [before, after] = [from, head].map((one) => one.tensors.get('segment.labels.weight')!);
    // Columns background and ball of the three there were.
    const kept = Array.from({ length: after!.data.length }, (_, n) => before!.data[3 * (n >> 1) + (n % 2)]!);
    kept.forEach((w, n) => expect(after!.data[n]).toBeCloseTo(w, 5));
    const tuned = head.model.tensors.get('image.blocks.0.mlp.fc1.weight')!.data;
    expect(tuned).not.toEqual(model.tensors.get('image.blocks.0.mlp.fc1.weight')!.data);
    expect(head.model.provenance.runs.map(({ kind }) => kind)).toEqual(['fit segment', 'fit segment']);
  });

  it('that was shown no ranks goes on with them, and says the same until it has learnt from them', async () => {
    const { decoder, tensors, ...rest } = await readSegmentHead(join(dir, 'toy'));
    expect(decoder.intensities).toBe(2);
    const rows = (name: string, keep: (at: number) => boolean, [outer, axis, inner]: Vec3): NamedTensor => {
      const { shape, data } = tensors.get(name)!;
      const kept = Array.from({ length: outer }, (_, o) =>
        [...Array(axis).keys()].filter(keep).map((at) => (o * axis + at) * inner),
      );
      return {
        name,
        shape: shape.map((n) => (n === axis ? n - 8 : n)),
        data: Float32Array.from(kept.flat().flatMap((at) => [...data.subarray(at, at + inner)])),
      };
    };
    const [c1] = decoder.channels;
    const isRank = (at: number): boolean => at >= 8 && at < 16;
    const from: SegmentHead = {
      ...rest,
      decoder: { ...decoder, intensities: 1 },
      tensors: new Map(tensors)
        .set(
          'segment.half1.weight',
          rows('segment.half1.weight', (at) => !isRank(at), [c1, 20, 27]),
        )
        .set(
          'segment.voxels.weight',
          rows('segment.voxels.weight', (at) => !isRank(at - c1), [1, c1 + 20, 8 * decoder.voxelFeatures]),
        ),
    };
    const { head } = await fitSegment(source, {
      ...base,
      from,
      run: join(dir, 'ranked'),
      steps: 1,
      learningRate: 1e-9,
    });
    expect(head.decoder).toEqual(decoder);
    const { volume } = synthesizeAs(
      anatomies[0]!,
      options,
      { kind: 'turbo spin echo', tr: 4000, te: 80 },
      [3, 3, 3],
      3,
    );
    const found = await Promise.all(
      [from, head].map(async (one) => {
        const segmenter = await Segmenter.open(one, { threads: 1 });
        const { data } = await segmenter.segment(volume);
        await segmenter.close();
        return data;
      }),
    );
    expect(found[1]).toEqual(found[0]);
    expect(found[0]!.some((label) => label > 0)).toBe(true);
  });

  it('of an earlier version has no layers on single voxels', async () => {
    const head = await readSegmentHead(join(dir, 'toy'));
    expect(head.decoder.voxelLayers).toBe(1);
    const old = join(dir, 'old');
    await cp(join(dir, 'toy'), old, { recursive: true });
    const { tensors, metadata } = await readSafetensors(join(old, SEGMENT_FILE));
    const { decoder, ...rest } = JSON.parse(metadata['precess-segment']!) as { decoder: object };
    const before = { ...rest, adapts: undefined, decoder: { ...decoder, voxelLayers: undefined } };
    await writeSafetensors(
      join(old, SEGMENT_FILE),
      [...tensors.values()].filter(({ name }) => !name.startsWith('segment.voxels1.')),
      { 'precess-segment': JSON.stringify(before) },
    );
    const read = await readSegmentHead(old);
    expect(read.decoder).toEqual({ ...head.decoder, voxelLayers: 0 });
    expect(read.adapts).toBe(false);
    const segmenter = await Segmenter.open(read, { threads: 1 });
    await segmenter.close();
  });

  it('is refused with an encoder of another size', async () => {
    const small = join(dir, 'small.safetensors');
    await writeModel(small, newModel({ ...modelConfig('small'), layers: 1 }, 0));
    await expect(readSegmentHead(join(dir, 'toy'), small)).rejects.toThrow(
      /was fitted on an encoder of size nano \(width 192.*got one of small \(width 384/,
    );
    await expect(readSegmentHead(join(dir, 'nowhere'))).rejects.toThrow(
      /must be a folder made by "precess fit segment"/,
    );
    await expect(
      fitSegment(source, { ...base, side: [20, 24, 24], run: join(dir, 'odd'), steps: 1 }),
    ).rejects.toThrow(/multiples of 8 voxels, got 20 × 24 × 24/);
  });
});
