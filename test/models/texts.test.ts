/** Vectors of texts do not depend on what is asked for beside them, nor on the program that fits their length. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Encoder } from '../../src/models/encoder.js';
import { writeAligned } from '../tasks/aligned.js';

let dir = '';
let encoder: Encoder;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'precess-texts-'));
  await writeAligned(join(dir, 'model.safetensors'));
  encoder = await Encoder.open(join(dir, 'model.safetensors'), { threads: 1 });
});
afterAll(async () => {
  await encoder.close();
  await rm(dir, { recursive: true, force: true });
});

it('are the same alone, among shorter ones and among longer ones', async () => {
  const short = 'knee';
  const middle = Array.from({ length: 18 }, () => 'knee').join(' ');
  const long = Array.from({ length: 80 }, (_, n) => (n % 3 ? 'brain' : 'knee')).join(' ');
  const together = await encoder.embedTexts([short, middle, long]);
  for (const [n, text] of [short, middle, long].entries()) {
    const [alone] = await encoder.embedTexts([text]);
    const [beside] = await encoder.embedTexts([text, 'brain']);
    for (const vector of [alone!, beside!]) {
      expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
      expect(Math.hypot(...vector.map((v, d) => v - together[n]![d]!))).toBeLessThan(1e-5);
    }
  }
  // Short and long say different things.
  expect(Math.hypot(...together[0]!.map((v, d) => v - together[2]![d]!))).toBeGreaterThan(1e-2);
});

it('are none for no text', async () => {
  expect(await encoder.embedTexts([])).toEqual([]);
});
