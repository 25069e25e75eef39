/** The parts around the decoder: labels, cases, simulated scenes, clicks. */
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
import { heldOutPatients, maskOn, onlyVolume } from '../../../src/tasks/segment/cases.js';
import {
  labelTable,
  mirrored,
  numbersIn,
  numbersOf,
  readLabelTable,
  valuesOf,
} from '../../../src/tasks/segment/labels.js';
import { pairSource } from '../../../src/tasks/segment/source.js';
import { liesAlike } from '../../../src/tasks/segment/symmetry.js';
import { CONTRASTS, synthesize, synthesizeAs, anatomyOf } from '../../../src/tasks/segment/synthesis.js';
import { scalingAffine } from '../../../src/volume/affine.js';
import { reorient } from '../../../src/volume/orientation.js';
import { Random } from '../../../src/volume/random.js';
import type { Volume } from '../../../src/volume/volume.js';
import { dataDir, skipped } from '../../data.js';
import { TOY_TABLE, TOY_TISSUES, toyMap, volumeOf, WORKING } from './toy.js';

const MAPS = join(dataDir() ?? '', 'label-maps');

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
