import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { readSafetensors, writeSafetensors } from '../../src/models/safetensors.js';

const dir = mkdtempSync(join(tmpdir(), 'precess-'));
afterAll(() => rmSync(dir, { recursive: true }));
const reference = fileURLToPath(new URL('../fixtures/models/tiny.safetensors', import.meta.url));

describe('safetensors', () => {
  it('reads what the reference library wrote', async () => {
    const { tensors, metadata } = await readSafetensors(reference);
    expect(metadata).toEqual({ note: 'made by the reference library' });
    expect([...tensors.keys()].sort()).toEqual(['a', 'b.c']);
    expect(tensors.get('a')!.shape).toEqual([2, 3]);
    expect([...tensors.get('a')!.data]).toEqual([0, 0.25, 0.5, 0.75, 1, 1.25]);
    expect([...tensors.get('b.c')!.data]).toEqual([-1.5]);
  });

  it('writes the same tensors back with an aligned header', async () => {
    const path = join(dir, 'out.safetensors');
    const { tensors, metadata } = await readSafetensors(reference);
    await writeSafetensors(path, [...tensors.values()], metadata);
    expect(Number(readFileSync(path).readBigUInt64LE()) % 8).toBe(0);
    expect(await readSafetensors(path)).toMatchObject({ tensors, metadata });
  });

  it('names the file when it is missing, cut short or something else', async () => {
    const cut = join(dir, 'cut.safetensors');
    writeFileSync(cut, readFileSync(reference));
    truncateSync(cut, readFileSync(reference).length - 8);
    await expect(readSafetensors(cut)).rejects.toThrow(/cut\.safetensors.*cut short/);
    const other = join(dir, 'other.bin');
    writeFileSync(other, Buffer.from('\x05\0\0\0\0\0\0\0hello world'));
    await expect(readSafetensors(other)).rejects.toThrow(/other\.bin.*not a safetensors/);
    writeFileSync(other, 'tiny');
    await expect(readSafetensors(other)).rejects.toThrow(/other\.bin/);
    await expect(readSafetensors(join(dir, 'none'))).rejects.toThrow(/none.*cannot be opened/);
  });
});
