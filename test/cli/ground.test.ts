/** precess ground through the real command: a map on the grid of the source, and clear errors. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { readNiftiFile } from '../../src/formats/nifti/index.js';
import { Corpus } from '../../src/corpus/index.js';
import { writeModel } from '../../src/models/model-file.js';
import { newModel } from '../../src/models/new-model.js';
import { modelConfig } from '../../src/models/sizes.js';
import { writeAligned } from '../tasks/aligned.js';
import { expectFailure, json, makeCorpus, precess, workFolder } from './command.js';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

interface Ground {
  score: number;
  peak: number;
  peakMm: [number, number, number];
  patchMm: number;
  tokens: number;
}
let dir = '';
let corpus = '';
let model = '';
let id = '';

beforeAll(async () => {
  dir = await workFolder();
  corpus = await makeCorpus(dir, 1);
  model = join(dir, 'model.safetensors');
  await writeAligned(model);
  const { series } = await json<{ series: { id: string }[] }>('corpus', 'ls', '--corpus', corpus);
  id = series[0]!.id;
});

const ground = (...args: string[]): string[] => ['ground', ...args, '--threads', '1'];

describe('precess ground', () => {
  it('writes a map on the grid of a series of the corpus', async () => {
    const out = join(dir, 'heat.nii.gz');
    const args = ['--id', id, '--corpus', corpus, '--model', model, '--text', 'knee', '--out', out];
    const said = await json<Ground>(...ground(...args));
    expect(Math.abs(said.score)).toBeLessThanOrEqual(1);
    const heat = (await readNiftiFile(out)).frame(0);
    const opened = await Corpus.open(corpus);
    const source = await opened.volume(id);
    opened.close();
    expect(heat.shape).toEqual(source.shape);
    heat.affine.flat().forEach((value, n) => expect(value).toBeCloseTo(source.affine.flat()[n]!, 3));
    const seen = [...heat.data].filter((_, n) => heat.valid?.[n] !== 0);
    expect(seen.length).toBeGreaterThan(100);
    // The map lies between its tokens: it is nowhere hotter than the hottest.
    expect(seen.reduce((a, b) => Math.max(a, b))).toBeLessThanOrEqual(said.peak + 1e-5);
    expect((await readdir(dir)).filter((name) => name.includes('partial'))).toEqual([]);
  });

  it('says what is wrong', async () => {
    const out = ['--out', join(dir, 'x.nii.gz')];
    const text = ['--text', 'knee'];
    const source = join(dir, 'in', 'brain');
    expectFailure(await precess(...ground(...text, ...out, '--model', model)), 2, /either an image or --id/);
    expectFailure(await precess(...ground(source, ...text, ...out)), 2, /give --model, or --corpus/);
    expectFailure(
      await precess(...ground(source, ...text, '--out', join(dir, 'x.png'), '--model', model)),
      2,
      /--out is a \.nii or \.nii\.gz file/,
    );
    expectFailure(
      await precess(...ground('--id', id, '--corpus', corpus, ...text, ...out)),
      1,
      /ground: the corpus has no index/,
    );
    const plain = join(dir, 'plain.safetensors');
    await writeModel(plain, newModel(modelConfig('nano'), 1));
    expectFailure(await precess(...ground(source, ...text, ...out, '--model', plain)), 1, /precess align/);
    expectFailure(
      await precess(...ground(source, ...text, '--out', join(dir, 'no', 'x.nii'), '--model', model)),
      1,
      /heat map cannot be written/,
    );
  });
});
