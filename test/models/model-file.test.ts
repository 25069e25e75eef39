/** Model files of every format there has been. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openModel, writeModel } from '../../src/models/model-file.js';
import { requireSharing } from '../../src/models/provenance.js';
import { readSafetensors, writeSafetensors } from '../../src/models/safetensors.js';

const fixture = (format: number): string =>
  fileURLToPath(new URL(`../fixtures/models/format-${format}.safetensors`, import.meta.url));

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'precess-model-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** The file of format 2 with other keys in its header. */
async function changed(change: Record<string, unknown>): Promise<string> {
  const { tensors, metadata } = await readSafetensors(fixture(2));
  const header = JSON.parse(metadata.precess!) as Record<string, unknown>;
  const path = join(dir, 'changed.safetensors');
  await writeSafetensors(path, [...tensors.values()], { precess: JSON.stringify({ ...header, ...change }) });
  return path;
}

describe('model files', () => {
  it.each([1, 2])('of format %i open with their weights and settings', async (format) => {
    const model = await openModel(fixture(format));
    expect(model).toMatchObject({ step: 12, tokenizer: null, config: { embedDim: 4, textLength: 8 } });
    expect([...model.tensors.get('image.cls')!.data]).toEqual([1, 2, 3, 4]);
    expect(model.provenance.sources).toMatchObject([{ licence: 'CC-BY-4.0' }]);
  });

  it('of format 1 may not be shared, as what they learnt from is not known; of format 2 as their sources say', async () => {
    const [first, second] = await Promise.all([1, 2].map((format) => openModel(fixture(format))));
    expect(() => requireSharing(first!.provenance, 'export')).toThrow(/lack "share-weights"/);
    expect(() => requireSharing(second!.provenance, 'export')).not.toThrow();
  });

  it('of format 1 become format 2 when they are written, and stay unshared', async () => {
    const path = join(dir, 'again.safetensors');
    await writeModel(path, await openModel(fixture(1)));
    const { metadata } = await readSafetensors(path);
    expect(JSON.parse(metadata.precess!)).toMatchObject({ format: 2, step: 12 });
    expect(() => requireSharing(metadataOf(metadata), 'export')).toThrow(/share-weights/);
  });

  it('of a later format or with a broken header say so', async () => {
    await expect(openModel(await changed({ format: 3 }))).rejects.toThrow(
      /must be of format 2 or earlier, got 3, which a later version wrote; update precess/,
    );
    await expect(openModel(await changed({ step: 'many' }))).rejects.toThrow(/cannot read \(step: /);
    await expect(openModel(await changed({ format: 1 }))).rejects.toThrow(/cannot read \(rights: /);
  });
});

type Provenance = Parameters<typeof requireSharing>[0];
const metadataOf = ({ precess }: Record<string, string>): Provenance =>
  (JSON.parse(precess!) as { provenance: Provenance }).provenance;
