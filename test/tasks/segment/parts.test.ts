/** The parts around the decoder: labels, windows, reading of tokens, blending, clicks. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Graph, gradients, mul, reduceSum } from '../../../src/graph/index.js';
import {
  clickBump,
  clickInputs,
  CLICK_MM,
  clickShape,
  withClicks,
} from '../../../src/models/segment-clicks.js';
import { Params } from '../../../src/nn/index.js';
import { FREESURFER_TISSUES, TOTALSEGMENTATOR_TISSUES } from '../../../src/simulate/index.js';
import { openDevice, type Device } from '../../../src/runtime/index.js';
import { Blend, finishedNumbers, gaussian, windowStarts } from '../../../src/tasks/segment/blend.js';
import { heldOutPatients, maskOn, onlyVolume } from '../../../src/tasks/segment/cases.js';
import { sceneOf } from '../../../src/tasks/segment/fit.js';
import { ranksOf, resampled, segmentImage, TokenLattice } from '../../../src/tasks/segment/image.js';
import {
  labelTable,
  mirrored,
  numbersIn,
  numbersOf,
  readLabelTable,
  valuesOf,
} from '../../../src/tasks/segment/labels.js';
import { pooledNumbers } from '../../../src/tasks/segment/scene.js';
import { pairSource } from '../../../src/tasks/segment/source.js';
import { liesAlike } from '../../../src/tasks/segment/symmetry.js';
import { CONTRASTS, synthesize, synthesizeAs, anatomyOf } from '../../../src/tasks/segment/synthesis.js';
import { eachInside, orderOf, readOf, windowFeeds } from '../../../src/tasks/segment/window.js';
import { apply, scalingAffine, spacing } from '../../../src/volume/affine.js';
import { reorient } from '../../../src/volume/orientation.js';
import { coarsen } from '../../../src/volume/sampling.js';
import { Random } from '../../../src/volume/random.js';
import type { Affine, Vec3, Volume } from '../../../src/volume/volume.js';
import { dataDir, skipped } from '../../data.js';
import { TOY_TABLE, TOY_TISSUES, toyMap, WORKING } from './toy.js';

const AFFINE: Affine = [
  [0.9, 0, 0, 3],
  [0, 1, 0, -7],
  [0, 0, 5, 11],
  [0, 0, 0, 1],
];
const MAPS = join(dataDir() ?? '', 'label-maps');

const volumeOf = (shape: Vec3, value: (i: number, j: number, k: number) => number, mm = 2): Volume => ({
  data: Float32Array.from({ length: shape[0] * shape[1] * shape[2] }, (_, n) =>
    value(n % shape[0], Math.floor(n / shape[0]) % shape[1], Math.floor(n / (shape[0] * shape[1]))),
  ),
  shape,
  affine: scalingAffine([mm, mm, mm]),
  slope: 1,
  intercept: 0,
  valid: null,
});

describe('labels', () => {
  it('merge values, are written as the first of them, and are read back', () => {
    const table = labelTable({ white: [2, 41], cortex: [3, 42] });
    const map = volumeOf([6, 1, 1], (i) => [0, 2, 41, 42, 7, 3][i]!);
    expect([...numbersOf(map, table)]).toEqual([0, 1, 1, 2, 0, 2]);
    expect(table.values).toEqual([0, 2, 3]);
    expect([...numbersIn({ ...map, data: Uint8Array.of(0, 2, 3) }, table)]).toEqual([0, 1, 2]);
  });

  it('refuse a value of two labels, and masks that are images', () => {
    expect(() => labelTable({ a: [1], b: [1] })).toThrow(/value 1 must be of one label.*"b"/);
    expect(() => labelTable({})).toThrow(/at least one label/);
    expect(() => valuesOf(volumeOf([3, 1, 1], (i) => i / 2))).toThrow(
      /whole numbers from 0 to 65535, got 0.5/,
    );
  });

  it('exchange sides in a mirror, and refuse it where one side is missing', () => {
    expect(mirrored(['background', 'left kidney', 'liver', 'right kidney'])).toEqual([0, 3, 2, 1]);
    expect(mirrored(['background', 'Kidney_L', 'Kidney_R'])).toEqual([0, 2, 1]);
    expect(mirrored(['background', 'left lung'])).toBeNull();
    expect(mirrored(['background', 'lateral ventricle'])).toEqual([0, 1]);
  });
});

describe('mirrors', () => {
  const names = (table: typeof TOY_TABLE): string[] => [...table.names];
  /** A row of voxels across the body, 2 mm apart and about x = 0, with a label from one place to another. */
  const row = (...parts: readonly (readonly [number, number])[]) => {
    const map = volumeOf([50, 1, 1], (i) => parts.findIndex(([a, b]) => i >= a && i <= b) + 1);
    const affine: Volume['affine'] = [[2, 0, 0, -49], map.affine[1], map.affine[2], map.affine[3]];
    return { grid: { ...map, affine }, numbers: Uint8Array.from(map.data) };
  };

  it('are for what lies alike on both sides', () => {
    expect(liesAlike(['background', 'cord'], [row([23, 27])])).toBe(true);
    expect(liesAlike(['background', 'liver'], [row([30, 45])])).toBe(false);
    // Stored the other way round, it is on the same side.
    const { grid, numbers } = row([30, 45]);
    const turned = { ...grid, affine: grid.affine.map((r, d) => (d === 0 ? [-2, 0, 0, 49] : r)) as never };
    expect(liesAlike(['background', 'liver'], [{ grid: turned, numbers }])).toBe(false);
    // Lesions of several people, here and there.
    expect(liesAlike(['background', 'lesion'], [row([30, 45]), row([5, 18])])).toBe(true);
    expect(liesAlike(['background', 'left kidney', 'right kidney'], [row([5, 10], [39, 44])])).toBe(true);
    expect(liesAlike(['background', 'left kidney', 'right kidney'], [row([5, 10], [26, 30])])).toBe(false);
    expect(liesAlike(['background', 'left kidney'], [row([5, 10])])).toBe(false);
  });

  it('are kept from anatomies with a side', () => {
    const map = toyMap(0);
    const pairs = [{ volume: map, numbers: numbersOf(map, TOY_TABLE) }];
    const source = pairSource(pairs, ['im-1'], TOY_TABLE, WORKING, 0);
    expect(source.mirrors).toBe(false);
    for (let n = 0; n < 8; n++)
      expect(Buffer.compare(source.draw(n).numbers, pairs[0]!.numbers), `draw ${n}`).toBe(0);
    expect(liesAlike(names(TOY_TABLE), [{ grid: map, numbers: pairs[0]!.numbers }])).toBe(false);
  });

  it.skipIf(skipped(!existsSync(MAPS), 'the label maps of the shared data are not there'))(
    'are used for real brains, and not for a real trunk',
    async () => {
      const lies = async (map: string, labels: string): Promise<boolean> => {
        const table = await readLabelTable(
          fileURLToPath(new URL(`../../../configs/${labels}`, import.meta.url)),
        );
        const grid = await onlyVolume(join(MAPS, map));
        const tissues = labels.includes('brain') ? FREESURFER_TISSUES : TOTALSEGMENTATOR_TISSUES;
        const cut = anatomyOf(
          grid,
          { table, tissues, spacingMm: [2, 3], working: WORKING, contrasts: CONTRASTS },
          map,
        );
        return liesAlike(table.names, [{ grid: cut.map, numbers: cut.numbers }]);
      };
      for (const n of ['01', '07', '16'])
        expect(await lies(`brain-synthseg/training_seg_${n}.nii.gz`, 'labels-brain.json')).toBe(true);
      expect(await lies('body-totalseg/example_seg.nii.gz', 'labels-organs.json')).toBe(false);
    },
  );
});

describe('cases', () => {
  it('hold out whole patients, one at least, and never all', () => {
    const patients = ['a', 'a', 'b', 'c', 'd', 'd'];
    const held = heldOutPatients(patients, 3, 0.25);
    expect(held.size).toBe(1);
    expect(heldOutPatients(['a', 'b'], 0, 0.9).size).toBe(1);
    expect(heldOutPatients(['a', 'a'], 0, 0.5).size).toBe(0);
    expect(heldOutPatients([...patients].reverse(), 3, 0.25)).toEqual(held);
  });

  it('take a mask in another order of axes and refuse one on another grid', () => {
    const image = volumeOf([4, 5, 6], (i, j, k) => i + j + k);
    const mask = volumeOf([4, 5, 6], (i) => (i === 3 ? 1 : 0));
    const names = { image: 'image.nii', mask: 'mask.nii' };
    expect(maskOn(image, reorient(mask, 'LPS'), names).data).toEqual(mask.data);
    expect(() =>
      maskOn(
        image,
        volumeOf([4, 5, 7], () => 1),
        names,
      ),
    ).toThrow(/grid of its image.*mask.nii has 4×5×7/);
    const moved = { ...mask, affine: scalingAffine([2, 2, 2], [1, 0, 0]) };
    expect(() => maskOn(image, moved, names)).toThrow(/another place; resample the mask/);
  });
});

describe('windows', () => {
  it('put each voxel where the decoder has it, and nothing where there is no image', () => {
    const image = segmentImage(
      volumeOf([10, 12, 9], (i, j, k) => i + 20 * j + 300 * k),
      { finestMm: 1, isotropic: false },
    );
    const side: Vec3 = [8, 16, 8];
    const start: Vec3 = [5, -2, 3];
    const read = readOf(
      {
        count: 1,
        patchMm: 16,
        samples: 8,
        positions: Float32Array.of(8, 8, 8),
        patches: new Float32Array(512),
        measured: new Uint8Array(512),
        valid: Float32Array.of(1),
      },
      null,
    );
    const feeds = windowFeeds([{ image, read, start }], side, 2, 2);
    const order = orderOf(side);
    expect([...order].sort((a, b) => a - b)).toEqual([...order.keys()]);
    const voxels = feeds['window.voxels'] as Float32Array;
    const half = voxels.length / 2;
    const seen = new Float32Array(half);
    let count = 0;
    eachInside(image, start, side, (inWindow, inImage) => {
      const [i, j, k] = [inWindow % 8, Math.floor(inWindow / 8) % 16, Math.floor(inWindow / 128)];
      expect(inImage).toBe(i + 5 + 10 * (j - 2 + 12 * (k + 3)));
      // [8, d, h, w] with the place in the block first: as PyTorch's reshape of [d, 2, h, 2, w, 2] gives.
      const sub = (k % 2) * 4 + (j % 2) * 2 + (i % 2);
      const at = ((sub * 4 + (k >> 1)) * 8 + (j >> 1)) * 4 + (i >> 1);
      expect(voxels[at]).toBe(image.values[inImage]);
      expect(voxels[half + at]).toBe(image.ranks[inImage]);
      expect(order[inWindow]! & 7).toBe(sub);
      seen[at] = 1;
      count++;
    });
    expect(count).toBe(5 * 12 * 6);
    expect(voxels.every((v, n) => seen[n % half] === 1 || v === 0)).toBe(true);
    const one = windowFeeds([{ image, read, start }], side, 2, 1)['window.voxels'];
    expect(one).toEqual(voxels.subarray(0, half));
    const measured = (feeds['window.measured'] as Float32Array).reduce((sum, one) => sum + one, 0);
    expect(measured * 8).toBeCloseTo(count, 4);
    expect([...(feeds['window.spacing'] as Float32Array)]).toEqual([0, 0, 0]);
  });

  it('read tokens linearly between their centres, and share the weight of those that are not there', () => {
    const positions: number[] = [];
    for (let n = 0; n < 27; n++)
      if (n !== 26) positions.push(16 * (n % 3), 16 * (Math.floor(n / 3) % 3), 16 * Math.floor(n / 9));
    const lattice = new TokenLattice(Float32Array.from(positions), 16);
    const at = (point: Vec3): number[] => {
      const sum = [0, 0, 0, 0];
      lattice.read(point, (token, weight) => {
        for (let d = 0; d < 3; d++) sum[d]! += weight * positions[token * 3 + d]!;
        sum[3]! += weight;
      });
      return sum;
    };
    for (const point of [
      [3, 5, 9],
      [16, 16, 16],
      [31.5, 0, 20],
    ] as Vec3[])
      at(point).forEach((v, d) => expect(v).toBeCloseTo([...point, 1][d]!, 5));
    expect(at([30, 30, 30])[3]).toBeCloseTo(1, 6);
    expect(at([60, 0, 0])[3]).toBe(0);
  });

  it('pool labels by majority, keeping small ones in a tie', () => {
    const source = volumeOf([4, 4, 2], (i) => i, 1);
    const image = { source, shape: [2, 2, 1] as const, factors: [2, 2, 2] as const };
    const numbers = new Uint8Array(32);
    numbers.fill(1, 0, 2); // two of eight
    for (const n of [2, 3, 6, 7]) numbers[n] = 2; // four of eight
    expect([...pooledNumbers(image, numbers)]).toEqual([0, 2, 0, 0]);
  });

  it('are cubes of one size where a head asks for them, in the same place', () => {
    // A ramp in RAS+ mm, so that a voxel's value says where it lies.
    const ramp = { ...volumeOf([30, 24, 9], (i, j, k) => 0.9 * i + 4 * j + 20 * 5 * k), affine: AFFINE };
    const factors: Vec3 = [2 / 0.9, 2 / 1, 2 / 5];
    const { values, weight, shape } = resampled(ramp, factors);
    expect(shape).toEqual([14, 12, 23]);
    expect(weight).toBeNull();
    const grid = coarsen(AFFINE, factors);
    for (const at of [
      [1, 1, 2],
      [7, 5, 11],
      [12, 10, 19],
    ] as Vec3[]) {
      const [x, y, z] = apply(grid, at);
      const value = values[at[0] + 14 * (at[1] + 12 * at[2])]!;
      // A share of a voxel counts as if it lay in the voxel's middle: less than a twentieth of a millimetre here.
      expect(Math.abs(value - (x - 3 + 4 * (y + 7) + 20 * (z - 11)))).toBeLessThan(0.05);
    }
    const image = segmentImage(ramp, { finestMm: 2, isotropic: true });
    expect(image.shape).toEqual(shape);
    spacing(image.affine).forEach((mm) => expect(mm).toBeCloseTo(2, 9));
  });

  it('rank intensities by the share of the body that is darker, whatever bends their curve', () => {
    const random = new Random(5, 1);
    const values = Float32Array.from({ length: 5000 }, (_, n) =>
      n < 1000 ? -2 + random.uniform(0, 1) : Math.exp(random.normal()),
    );
    values[0] = -2;
    const ranks = ranksOf(values, null, -1);
    // Of the 4000 voxels of the body, so many are darker.
    const body = [...values.subarray(1000)].sort((a, b) => a - b);
    for (let n = 1000; n < 5000; n += 61)
      expect(Math.abs(ranks[n]! - body.indexOf(values[n]!) / 4000)).toBeLessThan(1 / 256);
    // Air runs from -1, the darkest voxel, to 0.
    for (let n = 0; n < 1000; n += 61) expect(ranks[n]).toBeCloseTo(values[n]! + 1, 5);
    const bent = ranksOf(
      values.map((value) => (value > -1 ? Math.sqrt(value) - 1 : value)),
      null,
      -1,
    );
    for (let n = 1000; n < 5000; n += 61) expect(Math.abs(bent[n]! - ranks[n]!)).toBeLessThan(1 / 256);
  });

  it('rank what was measured alone, and nothing but air as air', () => {
    const values = Float32Array.of(0, 9, 1, 2, 9, 3);
    const weight = Float32Array.of(1, 0, 0.5, 1, 0, 1);
    const ranks = ranksOf(values, weight, 0.5);
    expect([ranks[1], ranks[4], ranks[0]]).toEqual([0, 0, -1]);
    // Of three voxels of body the darkest and the brightest, as nearly as quantiles of so few can say.
    expect(ranks[2]).toBeGreaterThanOrEqual(0);
    expect(ranks[2]).toBeLessThan(1 / 3);
    expect(ranks[5]).toBeGreaterThan(0.99);
    expect([...ranksOf(Float32Array.of(1, 2, 3), null, 4)].map((r) => r + 0)).toEqual(
      [-1, -2 / 3, -1 / 3].map((r) => expect.closeTo(r, 5) as number),
    );
    expect([...ranksOf(Float32Array.of(2, 2), null, 2)]).toEqual([0, 0]);
  });

  it('leave out what was not measured when they are resampled', () => {
    const volume = volumeOf([4, 1, 3], (i, _, k) => (k === 1 ? 900 : 10 + i));
    const valid = Uint8Array.from({ length: 12 }, (_, n) => (Math.floor(n / 4) === 1 ? 0 : 1));
    const { values, weight, shape } = resampled({ ...volume, valid }, [4 / 3, 1, 0.5]);
    expect(shape).toEqual([3, 1, 6]);
    // 4 voxels to 3: the first takes one voxel and a third of the next.
    expect(values[0]).toBeCloseTo((10 + 11 / 3) / (4 / 3), 5);
    // Slices half a step apart lie at -0.25 (the face), 0.25, 0.75, 1.25, 1.75 and 2.25 of the old ones.
    [1, 0.75, 0.25, 0.25, 0.75, 1].forEach((share, k) => expect(weight![3 * k]).toBeCloseTo(share, 6));
    for (let k = 0; k < 6; k++) expect(values[3 * k]).toBeCloseTo(values[0]!, 4);
  });

  it('take the labels of every voxel that reaches into theirs', () => {
    const source = volumeOf([4, 1, 2], () => 0);
    const numbers = Uint8Array.of(1, 2, 2, 3, 0, 0, 0, 3);
    const image = { source, shape: [3, 1, 4] as const, factors: [4 / 3, 1, 0.5] as const };
    // Of one voxel each the first one met keeps its place.
    expect([...pooledNumbers(image, numbers)]).toEqual([1, 2, 2, 1, 2, 2, 0, 0, 3, 0, 0, 3]);
  });

  it('come from a pool of scenes that moves on as windows are cut', () => {
    const drawn = Array.from({ length: 400 }, (_, step) =>
      [0, 1].map((row) => sceneOf(step, 2, { reuse: 8, pool: 3 }, new Random(1, step, row))),
    );
    drawn.forEach((rows, step) => {
      const first = Math.floor(step / 4);
      for (const scene of rows) expect([first, first + 1, first + 2]).toContain(scene);
    });
    const counts = new Map<number, number>();
    for (const scene of drawn.flat()) counts.set(scene, (counts.get(scene) ?? 0) + 1);
    const inside = [...counts].filter(([scene]) => scene > 3 && scene < 97).map(([, count]) => count);
    expect(inside.reduce((sum, count) => sum + count, 0) / inside.length).toBeCloseTo(8, 0);
  });
});

describe('blending', () => {
  it('covers every voxel, and gives back what each window says where all agree', () => {
    const shape: Vec3 = [21, 9, 30];
    const side: Vec3 = [16, 16, 8];
    const image = segmentImage(
      volumeOf(shape, (i, j, k) => i + j + k),
      { finestMm: 2, isotropic: false },
    );
    const truth = (n: number): number => (n * 7919) % 3;
    const blend = new Blend(image, 3, side);
    const weight = gaussian(side);
    const starts = windowStarts(shape, side, 0.25);
    expect(starts[0]).toEqual([0, -4, 0]);
    expect(starts.at(-1)).toEqual([5, -4, 22]);
    for (const start of starts)
      eachInside(image, start, side, (inWindow, inImage) => {
        const p = new Float32Array(3).fill(0.2 * weight[inWindow]!);
        p[truth(inImage)] = 0.6 * weight[inWindow]!;
        blend.add(inImage, start[2], p);
      });
    const found = finishedNumbers(blend, image);
    expect(found.every((label, n) => label === truth(n))).toBe(true);
  });

  it('puts a border between averaged voxels where the probabilities cross', () => {
    // 80 % of label 1 at 1.5, 10 % at 5.5: 50 % at 1.5 + 4 (0.3 / 0.7) = 3.2.
    const source = volumeOf([8, 1, 1], (i) => i, 1);
    const image = { source, shape: [2, 1, 1] as const, factors: [4, 1, 1] as const };
    const blend = new Blend(image, 2, [8, 8, 8]);
    blend.add(0, 0, Float32Array.of(0.2, 0.8));
    blend.add(1, 0, Float32Array.of(0.9, 0.1));
    expect([...finishedNumbers(blend, image)]).toEqual([1, 1, 1, 1, 0, 0, 0, 0]);
  });
});

describe('simulated scenes', () => {
  const options = {
    tissues: TOY_TISSUES,
    table: TOY_TABLE,
    spacingMm: [3, 4] as const,
    working: WORKING,
    contrasts: CONTRASTS,
  };
  const anatomy = anatomyOf(toyMap(0), options, 'map');

  it('hold the truth where the image shows it', () => {
    const { volume, numbers } = synthesizeAs(
      anatomy,
      options,
      { kind: 'turbo spin echo', tr: 6000, te: 150 },
      [3, 3, 3],
      1,
    );
    const sums = [0, 0, 0];
    const counts = [0, 0, 0];
    numbers.forEach((l, n) => {
      sums[l]! += volume.data[n]!;
      counts[l]!++;
    });
    const [, ball, box] = sums.map((s, l) => s / counts[l]!);
    // Water against spleen at this echo time: 0.81 e^(-150/1200) against 0.82 e^(-150/65), less what lies on borders.
    expect(ball! / box!).toBeGreaterThan(5);
    const mm3 = 27;
    expect((counts[1]! * mm3) / ((4 / 3) * Math.PI * 18 ** 3)).toBeCloseTo(1, 1);
  });

  it('follow from their number, and differ between numbers', () => {
    const [a, b, c] = [7, 7, 8].map((n) => synthesize(anatomy, options, new Random(1, n)));
    expect(a!.image.values).toEqual(b!.image.values);
    expect(a!.numbers).toEqual(b!.numbers);
    expect(c!.image.values).not.toEqual(a!.image.values);
  });

  it('refuse a map without the labels', () => {
    const other = { ...options, table: labelTable({ spleen: [9] }) };
    expect(() => anatomyOf(toyMap(0), other, 'maps/a.nii.gz')).toThrow(
      /maps\/a.nii.gz must hold labels of the table/,
    );
  });
});

describe('clicks', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice({ kind: 'cpu', threads: 1 });
  });
  afterAll(() => device.close());
  const [B, K, V, F, L] = [1, 2, 6, 3, 4];

  it('add in the program what the formula says, with the gradients of finite differences', async () => {
    const random = new Random(4);
    const draw = (n: number): Float32Array => Float32Array.from({ length: n }, () => random.uniform(-1, 1));
    const build = (graph: Graph, scope: Parameters<typeof withClicks>[0]) => {
      const input = (name: string, shape: number[]) => graph.input(name, 'float32', shape);
      const decoded = {
        logits: input('logits', [B, V, L]),
        features: input('features', [B, V, F]),
        tokenLogits: input('unused', [1]),
      };
      return withClicks(scope, decoded, clickInputs(graph, B, K, L, V));
    };
    const params = Params.collect((graph, scope) => void build(graph, scope));
    const graph = new Graph('clicks');
    const flat = graph.input('params', 'float32', [params.size]);
    const out = build(graph, params.bind(flat));
    graph.output('out', out);
    const weight = draw(V * L);
    graph.output('grads', gradients(reduceSum(mul(out, graph.constant(weight, [B, V, L]))), [flat])[0]!);
    const program = await device.load(graph);
    const feeds = {
      params: params.initialize(0),
      logits: draw(V * L),
      features: draw(V * F),
      unused: draw(1),
      'clicks.index': Int32Array.of(2, 0),
      'clicks.label': Float32Array.of(0, 0, 1, 0, 0, 0, 0, 0),
      'clicks.near': Float32Array.from({ length: K * V }, (_, n) => ((n % V) * 0.3) ** 2),
    };
    const used = Object.fromEntries(
      Object.entries(feeds).filter(([name]) => program.inputs.some((i) => i.name === name)),
    );
    const { out: found, grads } = await program.run(used);
    const shape = clickShape((name) => feeds.params[params.slices.find((s) => s.name === name)!.offset]!);
    const feature = (v: number): Float32Array => feeds.features.subarray(v * F, (v + 1) * F);
    const cosine = (a: Float32Array, b: Float32Array): number =>
      a.reduce((sum, x, f) => sum + x * b[f]!, 0) / (Math.hypot(...a) * Math.hypot(...b));
    for (let v = 0; v < V; v++)
      for (let l = 0; l < L; l++) {
        const added = l === 2 ? clickBump(shape, cosine(feature(v), feature(2)), v * 0.3 * CLICK_MM) : 0;
        expect(Number(found![v * L + l])).toBeCloseTo(feeds.logits[v * L + l]! + added, 4);
      }
    for (let n = 0; n < params.size; n++) {
      const at = async (step: number): Promise<number> => {
        const moved = feeds.params.slice();
        moved[n]! += step;
        const { out: there } = await program.run({ ...used, params: moved }, { fetch: ['out'] });
        return weight.reduce((sum, w, i) => sum + w * Number(there![i]), 0);
      };
      const slope = ((await at(0.003)) - (await at(-0.003))) / 0.006;
      expect(Math.abs(Number(grads![n]) - slope)).toBeLessThan(0.02 * Math.max(0.1, Math.abs(slope)));
    }
  });
});
