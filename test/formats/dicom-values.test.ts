import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { loadSeries } from '../../src/formats/dicom/index.js';
import { group } from './studies.js';

// Written and read by pydicom, scaled by the closed form of each: test/fixtures/formats/make_values.py.
const FIXTURES = fileURLToPath(new URL('../fixtures/formats/values/', import.meta.url));
const expected = JSON.parse(readFileSync(join(FIXTURES, 'expected.json'), 'utf8')) as Record<
  string,
  { dtype: string; values: number[]; padding: number[] }
>;

describe('values of every width, sign and scaling', () => {
  it.each(Object.keys(expected))('%s', async (name) => {
    const { dtype, values, padding } = expected[name]!;
    const { series, skipped } = await group([join(FIXTURES, `${name}.dcm`)]);
    expect(skipped).toEqual([]);
    const volume = await loadSeries(series[0]!);
    expect(volume.data.constructor.name.toLowerCase()).toBe(`${dtype}array`);
    const ours = Array.from(volume.data, (value) => value * volume.slope + volume.intercept);
    ours.forEach((value, n) => expect(value).toBeCloseTo(values[n]!, 6));
    const masked = [...(volume.valid ?? [])].flatMap((valid, n) => (valid === 0 ? [n] : []));
    expect(masked).toEqual(padding);
  });
});
