/** Maps of tokens over a run: their colours, the attention in them, and the log that they are kept in. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Series } from '../../src/corpus/series.js';
import { Graph } from '../../src/graph/index.js';
import { attention, firstTokenAttention, Params, rope3d, type Scope } from '../../src/nn/index.js';
import { openDevice } from '../../src/runtime/index.js';
import { colourOf, readMaps } from '../../src/train/maps.js';
import { PRETRAIN } from '../../src/train/pretrain.js';
import { pretrain } from '../../src/train/run.js';
import { Random } from '../../src/volume/random.js';
import type { Volume } from '../../src/volume/volume.js';

const dir = mkdtempSync(join(tmpdir(), 'precess-maps-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('the attention of the first token', () => {
  it('is what the layer weighs its values with', async () => {
    // One token for each feature, values and output the identity: the layer's first row is the attention itself.
    const [n, heads] = [8, 1];
    const build = (graph: Graph, scope: Scope) => {
      const x = graph.input('x', 'float32', [1, n, n]);
      const mask = graph.input('mask', 'float32', [1, n]);
      const rope = rope3d(graph.input('mm', 'float32', [1, n, 3]), n, {
        minWavelengthMm: 16,
        maxWavelengthMm: 512,
      });
      const options = { heads, mask, rope };
      graph.output('layer', attention(scope, x, options));
      graph.output('shown', firstTokenAttention(scope, x, options));
    };
    const params = Params.collect((graph, scope) => build(graph, scope));
    const flat = params.initialize(3);
    const tensor = (name: string): Float32Array => {
      const { offset, size } = params.slices.find((one) => one.name === name)!;
      return flat.subarray(offset, offset + size);
    };
    const [qkv, out] = [tensor('qkv.weight'), tensor('out.weight')];
    out.fill(0);
    for (let r = 0; r < n; r++) {
      for (let c = 0; c < 3 * n; c++) qkv[r * 3 * n + c] = c < 2 * n ? 60 * qkv[r * 3 * n + c]! : 0;
      qkv[r * 3 * n + 2 * n + r] = 1;
      out[r * n + r] = 1;
    }
    const graph = new Graph('attention');
    build(graph, params.bindConstants(graph, flat));
    const device = await openDevice({ kind: 'cpu', threads: 1 });
    try {
      const identity = Float32Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
      const random = new Random(5);
      const { layer, shown } = await (
        await device.load(graph)
      ).run({
        x: identity,
        mask: Float32Array.of(1, 1, 1, 1, 1, 1, 0, 1),
        mm: Float32Array.from({ length: 3 * n }, () => random.uniform(-80, 80)),
      });
      const row = [...(shown as Float32Array)];
      expect(row.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 5);
      expect(Math.max(...row)).toBeGreaterThan(1.5 * Math.min(...row.filter((_, i) => i !== 6)));
      expect(row[6]).toBe(0);
      row.forEach((p, i) => expect(p).toBeCloseTo(Number(layer![i]), 6));
    } finally {
      await device.close();
    }
  });
});

describe('colours', () => {
  it('are the three directions of greatest variance, in their order, whatever else varies', () => {
    // Along known orthogonal directions of 12, with deviations 9, 4, 2 and noise far below.
    const random = new Random(8);
    const axes = [0, 1, 2].map((a) => Float64Array.from({ length: 12 }, (_, d) => (d % 3 === a ? 0.5 : 0)));
    const scores = Array.from({ length: 300 }, () =>
      // Skewed, so that the sign of each is decided.
      [9, 4, 2].map((s) => s * -Math.log(1 - random.uniform(0, 0.999))),
    );
    const rows = scores.map((s) =>
      Float32Array.from(
        { length: 12 },
        (_, d) => 5 + s.reduce((sum, v, a) => sum + v * axes[a]![d]!, 0) + 0.01 * random.normal(),
      ),
    );
    const colours = colourOf(rows);
    for (const c of [0, 1, 2] as const) {
      expect(colours.every((one) => Number.isInteger(one[c]) && one[c] >= 0 && one[c] <= 255)).toBe(true);
      // Where neither end is cut off, the colour is a straight line of the score.
      const inside = colours.flatMap((one, n) =>
        one[c] > 0 && one[c] < 255 ? [[scores[n]![c]!, one[c]]] : [],
      );
      const mean = (i: 0 | 1): number => inside.reduce((sum, p) => sum + p[i]!, 0) / inside.length;
      const [mx, my] = [mean(0), mean(1)];
      const sum = (f: (x: number, y: number) => number): number =>
        inside.reduce((total, [x, y]) => total + f(x! - mx, y! - my), 0);
      const correlation = sum((x, y) => x * y) / Math.sqrt(sum((x) => x * x) * sum((_, y) => y * y));
      expect(correlation).toBeGreaterThan(0.98);
    }
  });

  it('are grey where nothing varies', () => {
    const same = Float32Array.of(1, 2, 3, 4);
    expect(colourOf([same, same, same])).toEqual([
      [128, 128, 128],
      [128, 128, 128],
      [128, 128, 128],
    ]);
  });
});

describe('a run', () => {
  const shape = [40, 36, 16] as const;
  const volume = (n: number): Volume => ({
    data: Float32Array.from({ length: shape[0] * shape[1] * shape[2] }, (_, at) => {
      const [i, j] = [at % shape[0], Math.floor(at / shape[0]) % shape[1]];
      return (i - 20) ** 2 + (j - 18) ** 2 < 250 ? 200 + 60 * Math.sin((i + n * j) / 4) : 1;
    }),
    shape: [...shape],
    affine: [
      [3, 0, 0, -60],
      [0, 3, 0, -54],
      [0, 0, 5, 200],
      [0, 0, 0, 1],
    ],
    slope: 1,
    intercept: 0,
    valid: null,
  });
  const series = ['HEAD', 'HEAD', 'KNEE'].map(
    (bodyPart, n) =>
      ({
        id: `se-${n}`,
        studyId: `st-${n}`,
        patientId: `pt-${n}`,
        bodyPart,
        contrast: 'T1w',
        plane: n === 2 ? 'coronal' : 'axial',
        text: '',
        rights: { licence: 'made', use: ['train'], reference: null, expires: null, attribution: null },
        quarantined: null,
      }) as unknown as Series,
  );
  const corpus = {
    list: () => Promise.resolve([...series]),
    volume: (id: string) => Promise.resolve(volume(Number(id.slice(3)))),
  };
  const view = (tokens: number) => ({ tokens, patchMm: [[16, 1]] as const, extent: [0.6, 1] as const });

  it('keeps maps of the same series with each probe, one of each body part first, and takes them back with it', async () => {
    const run = join(dir, 'run');
    const options = {
      corpus,
      run,
      size: 'pico',
      batch: 2,
      seed: 1,
      heldOut: 0,
      probeEvery: 2,
      checkpointEvery: 2,
      threads: 1,
      recipe: {
        ...PRETRAIN,
        global: view(24),
        local: view(8),
        locals: 1,
        head: { hidden: 32, bottleneck: 16, prototypes: 32 },
      },
    };
    await pretrain({ ...options, steps: 4 });
    const maps = await readMaps(run);
    expect(maps.map(({ step }) => step)).toEqual([1, 2, 4]);
    for (const { series: shown } of maps) {
      expect(shown.map(({ id, plane }) => [id, plane])).toEqual([
        ['se-0', 'axial'],
        ['se-2', 'coronal'],
        ['se-1', 'axial'],
      ]);
      for (const { cells, patchMm, atMm, plane } of shown) {
        expect(patchMm).toBe(16);
        expect(cells.length).toBeGreaterThan(9);
        // Inside the image: 120 mm across, 108 mm front to back, 80 mm upwards from z = 200.
        const [low, high] = plane === 'axial' ? [190, 290] : [-70, 70];
        expect(atMm).toBeGreaterThan(low);
        expect(atMm).toBeLessThan(high);
        for (const [across, , , , , seen] of cells) {
          expect(Math.abs(across)).toBeLessThan(76);
          expect(seen).toBeGreaterThan(0);
          expect(seen).toBeLessThanOrEqual(1);
        }
      }
    }
    // What the encoder has learnt between two probes changes what is seen, but not where.
    expect(maps[1]!.series[0]!.cells).not.toEqual(maps[0]!.series[0]!.cells);
    const places = (at: number): unknown =>
      maps[at]!.series.map(({ cells }) => cells.map((c) => c.slice(0, 2)));
    expect(places(1)).toEqual(places(0));

    // A run that is taken back to a checkpoint writes what follows again.
    const before = readFileSync(join(run, 'maps.jsonl'), 'utf8');
    rmSync(join(run, 'checkpoints', 'step-00000004'), { recursive: true });
    await pretrain({ ...options, steps: 4, resume: true });
    expect((await readMaps(run)).map(({ step }) => step)).toEqual([1, 2, 4]);
    expect(readFileSync(join(run, 'maps.jsonl'), 'utf8')).toBe(before);
  });
});
