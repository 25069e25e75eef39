/** precess export: what is written, that it is whole, and that rights are respected. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { openModel, writeModel } from '../../src/models/model-file.js';
import { newModel } from '../../src/models/new-model.js';
import { NO_PROVENANCE, type SourceRecord } from '../../src/models/provenance.js';
import { modelConfig } from '../../src/models/sizes.js';
import { expectFailure, json, precess, workFolder } from './command.js';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const config = { ...modelConfig('nano'), layers: 1 };
let dir = '';
let model = '';

async function modelFrom(name: string, source: Partial<SourceRecord>): Promise<string> {
  const path = join(dir, name);
  const record: SourceRecord = {
    source: 'so-0123456789abcdef',
    licence: 'CC BY 4.0',
    use: ['train', 'share-weights'],
    reference: null,
    expires: null,
    attribution: 'The archive | of somewhere',
    series: 12,
    ...source,
  };
  await writeModel(path, {
    ...newModel(config, 4),
    step: 7,
    provenance: {
      ...NO_PROVENANCE,
      runs: [{ id: 'run-1', kind: 'pretrain' }],
      sources: [record],
      series: 12,
    },
  });
  return path;
}

beforeAll(async () => {
  dir = await workFolder();
  model = await modelFrom('model.safetensors', {});
});

describe('precess export', () => {
  it('writes ONNX with a card that names sources, attributions and results', async () => {
    const results = join(dir, 'results.json');
    const metrics = { auroc: { value: 0.8125, ci95: [0.75, 0.875], n: 40 } };
    await writeFile(results, JSON.stringify({ suite: 'plane', metrics, more: 1 }));
    const out = join(dir, 'onnx');
    const { files } = await json<{ files: string[] }>(
      'export',
      model,
      '--onnx',
      out,
      '--tokens',
      '16',
      '--results',
      results,
    );
    expect(files.toSorted()).toEqual(['README.md', 'config.json', 'image.onnx']);
    expect((await readdir(out)).toSorted()).toEqual(files.toSorted());
    const card = await readFile(join(out, 'README.md'), 'utf8');
    expect(card).toContain('Not for clinical use');
    expect(card).toContain(
      '| so-0123456789abcdef | 12 | CC BY 4.0 | train, share-weights | The archive \\| of somewhere |',
    );
    expect(card).toContain('| auroc | 0.813 | 0.750 to 0.875 | 40 |');
    expect(card).toContain('pretrain; 7 steps in the last of them, on 12 series');
    expect(card).toContain('[1, 16, 512]');
  });

  it('writes safetensors that open again with the same weights', async () => {
    const out = join(dir, 'weights');
    await json('export', model, '--safetensors', out);
    const [before, after] = [await openModel(model), await openModel(join(out, 'model.safetensors'))];
    expect(after.provenance).toEqual(before.provenance);
    expect([...after.tensors.keys()]).toEqual([...before.tensors.keys()]);
    for (const [name, { data }] of before.tensors) expect(after.tensors.get(name)!.data).toEqual(data);
  });

  it('refuses what may not be shared', async () => {
    const closed = await modelFrom('closed.safetensors', { use: ['train'] });
    expectFailure(
      await precess('export', closed, '--onnx', join(dir, 'no')),
      1,
      /permit "share-weights".*12 series do not \(so-0123456789abcdef/,
    );
    const expired = await modelFrom('expired.safetensors', { expires: '2020-01-01' });
    expectFailure(
      await precess('export', expired, '--safetensors', join(dir, 'no')),
      1,
      /expired on 2020-01-01/,
    );
    await expect(readdir(join(dir, 'no'))).rejects.toThrow();
  });

  it('refuses wrong usage, full folders and results of another kind', async () => {
    expectFailure(await precess('export', model), 2, /either --onnx or --safetensors/);
    await mkdir(join(dir, 'full'));
    await writeFile(join(dir, 'full', 'x'), '');
    expectFailure(await precess('export', model, '--onnx', join(dir, 'full')), 1, /new or empty/);
    const bad = join(dir, 'bad.json');
    await writeFile(bad, '{}');
    expectFailure(
      await precess('export', model, '--onnx', join(dir, 'bad'), '--results', bad),
      1,
      /bad\.json must hold what "precess evaluate/,
    );
  });
});
