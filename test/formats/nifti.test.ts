import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { NIFTI1 } from 'nifti-reader-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  NiftiError,
  readNifti,
  readNiftiFile,
  writeNifti,
  writeNiftiFile,
} from '../../src/formats/nifti/index.js';
import { affineFrom } from '../../src/volume/affine.js';
import type { Affine, Vec3, Volume, VoxelArray } from '../../src/volume/volume.js';
import { dataDir, skipped } from '../data.js';
import { rotation } from '../volume/geometry.js';

// Written by nibabel: test/fixtures/formats/make_nifti.py.
const FIXTURES = fileURLToPath(new URL('../fixtures/formats/nifti/', import.meta.url));
interface Expected {
  shape: number[];
  affine: number[][];
  source: string;
  values: (number | null)[];
}
const expected = JSON.parse(readFileSync(join(FIXTURES, 'expected.json'), 'utf8')) as Record<
  string,
  Expected
>;

const bytesOf = (name: string): Uint8Array => new Uint8Array(readFileSync(join(FIXTURES, name)));

function expectAffine(actual: Affine, wanted: readonly (readonly number[])[], tolerance = 1e-5): void {
  wanted.forEach((row, r) =>
    row.forEach((value, c) => {
      expect(Math.abs(actual[r as 0][c as 0] - value)).toBeLessThan(tolerance * Math.max(1, Math.abs(value)));
    }),
  );
}

describe('reading what nibabel wrote', () => {
  it.each(Object.keys(expected))('%s', async (name) => {
    const wanted = expected[name]!;
    const image = await readNiftiFile(join(FIXTURES, name));
    const dims = [...wanted.shape, 1, 1];
    expect(image.header.shape).toEqual(dims.slice(0, 3));
    expect(image.header.affineSource).toBe(wanted.source);
    expect(image.frames).toBe(wanted.shape.slice(3).reduce((product, n) => product * n, 1));
    const size = dims[0]! * dims[1]! * dims[2]!;
    for (let t = 0; t < image.frames; t++) {
      const { data, slope, intercept, affine, shape, valid } = image.frame(t);
      expect(data.length).toBe(size);
      expect(shape).toEqual(image.header.shape);
      expectAffine(affine, wanted.affine);
      wanted.values.slice(t * size, (t + 1) * size).forEach((value, n) => {
        expect(valid?.[n] ?? 1).toBe(value === null ? 0 : 1);
        expect(data[n]! * slope + intercept).toBe(value ?? 0);
      });
    }
  });

  it('keeps integers in arrays of their own type', async () => {
    const types: Record<string, new (n: number) => VoxelArray> = {
      uint8: Uint8Array,
      int8: Int8Array,
      int16: Int16Array,
      uint16: Uint16Array,
      int32: Int32Array,
      uint32: Uint32Array,
      int64: Float64Array,
      float32: Float32Array,
    };
    for (const [name, type] of Object.entries(types))
      expect((await readNiftiFile(join(FIXTURES, `${name}-be.nii`))).frame(0).data).toBeInstanceOf(type);
  });

  it('finds a pair by either file, and says so when half is missing', async () => {
    const whole = await readNiftiFile(join(FIXTURES, 'pair.img'));
    expect(whole.frame(0).data).toEqual((await readNiftiFile(join(FIXTURES, 'int16-le.nii'))).frame(0).data);
    expect(() => readNifti(bytesOf('pair.hdr'), 'pair.hdr')).toThrow(/half|pair/);
    await expect(readNiftiFile(join(FIXTURES, 'missing.hdr'))).rejects.toThrow(
      /half of a pair; put .*missing.hdr/,
    );
  });

  it('does not share memory with the bytes it was given', () => {
    const bytes = bytesOf('float32-le.nii');
    const volume = readNifti(bytes, 'x').frame(0);
    const before = volume.data[5];
    bytes.fill(0);
    expect(volume.data[5]).toBe(before);
  });
});

/** The fixture with bytes replaced: `edit` gets a view of a fresh copy. */
function edited(name: string, edit: (view: DataView) => void): Uint8Array {
  const bytes = bytesOf(name);
  edit(new DataView(bytes.buffer));
  return bytes;
}

describe('refusing what is broken, with the file, the rule and what to do', () => {
  const cases: [string, Uint8Array, RegExp][] = [
    [
      'NaN affine',
      edited('int16-le.nii', (v) => v.setFloat32(284, NaN, true)),
      /sform affine of f must be finite/,
    ],
    ['infinite origin', edited('int16-le.nii', (v) => v.setFloat32(292, Infinity, true)), /must be finite/],
    [
      'NaN quaternion',
      edited('qform-qfac-plus-v1-0.3--0.2.nii', (v) => v.setFloat32(256, NaN, true)),
      /qform affine of f must be finite/,
    ],
    [
      'no third axis',
      edited('int16-le.nii', (v) => [288, 304, 320].forEach((at) => v.setFloat32(at, 0, true))),
      /above 0/,
    ],
    [
      'flat affine',
      edited('int16-le.nii', (v) =>
        [288, 304, 320].forEach((at) => v.setFloat32(at, v.getFloat32(at - 4, true), true)),
      ),
      /must span space/,
    ],
    [
      'zero spacing',
      edited('pixdim-only.nii', (v) => v.setFloat32(84, 0, true)),
      /voxel sizes of f must be above 0/,
    ],
    ['NaN spacing', edited('pixdim-only.nii', (v) => v.setFloat32(84, NaN, true)), /must be finite/],
    ['huge spacing', edited('pixdim-only.nii', (v) => v.setFloat32(84, 1e6, true)), /at most 1000 mm/],
    [
      'zero dim',
      edited('int16-le.nii', (v) => v.setInt16(44, 0, true)),
      /dim\[2\] of f must be at least 1, got 0/,
    ],
    ['negative dim', edited('int16-le.nii', (v) => v.setInt16(46, -5, true)), /dim\[3\] of f .* got -5/],
    [
      'dim[0] of 0',
      edited('int16-le.nii', (v) => v.setInt16(40, 0, true)),
      /dim\[0\] of f must be 1 to 7, got 0/,
    ],
    [
      'dim[0] of 9',
      edited('int16-le.nii', (v) => v.setInt16(40, 9, true)),
      /dim\[0\] of f must be 1 to 7, got 9/,
    ],
    ['complex', bytesOf('complex64.nii'), /datatype 32 \(complex64\).*convert/],
    ['colour', bytesOf('rgb24.nii'), /datatype 128 \(RGB24\)/],
    ['float128', edited('int16-le.nii', (v) => v.setInt16(70, 1536, true)), /float128/],
    ['unknown datatype', edited('int16-le.nii', (v) => v.setInt16(70, 3, true)), /datatype 3 \(unknown\)/],
    [
      'truncated voxels',
      bytesOf('int16-le.nii').slice(0, 400),
      /must hold 472 bytes .* got 400; it is truncated/,
    ],
    [
      'truncated header',
      bytesOf('int16-le.nii').slice(0, 200),
      /must have a header of 348 or 540 bytes, got 200/,
    ],
    ['truncated NIfTI-2 header', bytesOf('int16-v2.nii').slice(0, 500), /ends inside its 540-byte header/],
    ['truncated gzip', bytesOf('4d.nii.gz').slice(0, 150), /damaged or cut off/],
    ['empty', new Uint8Array(0), /got 0 bytes/],
    ['text', new TextEncoder().encode('not an image '.repeat(50)), /sizeof_hdr of f must be 348 or 540/],
    ['ANALYZE', edited('int16-le.nii', (v) => v.setUint32(344, 0, true)), /magic of f .* ANALYZE/],
    [
      'NaN intercept',
      edited('scaled.nii', (v) => v.setFloat32(116, NaN, true)),
      /scl_inter of f must be finite/,
    ],
    ['fractional offset', edited('int16-le.nii', (v) => v.setFloat32(108, 352.5, true)), /vox_offset of f/],
  ];
  it.each(cases)('%s', (_, bytes, message) => {
    expect(() => readNifti(bytes, 'f')).toThrow(NiftiError);
    expect(() => readNifti(bytes, 'f')).toThrow(message);
  });

  it('64-bit integers that float64 cannot hold', () => {
    const beyond = edited('int64-le.nii', (v) => v.setBigInt64(352 + 80, 2n ** 53n + 1n, true));
    expect(() => readNifti(beyond, 'f').frame(0)).toThrow(/must be within ±2\^53, got 9007199254740993/);
  });

  it('frames that are not there', () => {
    const image = readNifti(bytesOf('4d.nii.gz'), 'f');
    for (const t of [-1, 3, 0.5]) expect(() => image.frame(t)).toThrow(/frames 0 to 2/);
  });
});

describe('writing', () => {
  const dir = mkdtempSync(join(tmpdir(), 'precess-nifti-'));
  afterAll(() => rmSync(dir, { recursive: true }));

  const types = [
    Int8Array,
    Uint8Array,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
    Float32Array,
    Float64Array,
  ];
  const volumes = fc
    .record({
      shape: fc.tuple(
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 6 }),
      ),
      type: fc.constantFrom(...types),
      angles: fc.tuple(...[0, 1, 2].map(() => fc.double({ min: -3.1, max: 3.1, noNaN: true }))),
      flipped: fc.boolean(),
      masked: fc.boolean(),
    })
    .map(({ shape, type, angles, flipped, masked }): Volume => {
      const [x, y, z] = rotation(...(angles as [number, number, number]));
      const mm = (v: Vec3, size: number): Vec3 => v.map((n) => n * size) as unknown as Vec3;
      const count = shape[0] * shape[1] * shape[2];
      return {
        data: new type(count).map((_: number, n: number) => (n * 37) % 251),
        shape,
        affine: affineFrom(mm(x, 0.5), mm(y, 0.75), mm(z, flipped ? -4 : 4), [-90, 20, 33]),
        slope: 2,
        intercept: -3,
        valid: masked ? Uint8Array.from({ length: count }, (_, n) => (n % 3 === 0 ? 0 : 1)) : null,
      };
    });

  it('gives back voxels, type, scaling, affine and mask; the qform says the same as the sform', () => {
    fc.assert(
      fc.property(volumes, fc.boolean(), (volume, gzip) => {
        const bytes = writeNifti(volume, { gzip, description: 'written by a test' });
        const image = readNifti(bytes, 'f');
        const back = image.frame(0);
        expect(image.header.description).toBe('written by a test');
        expect(back.shape).toEqual(volume.shape);
        expect([back.slope, back.intercept]).toEqual([2, -3]);
        expect(back.valid).toEqual(volume.valid);
        volume.data.forEach((value, n) => expect(back.data[n]).toBe(volume.valid?.[n] === 0 ? 0 : value));
        if (volume.valid === null) expect(back.data.constructor).toBe(volume.data.constructor);
        expectAffine(back.affine, volume.affine);
        if (gzip) return;
        new DataView(bytes.buffer).setInt16(254, 0, true);
        const byQform = readNifti(bytes, 'f');
        expect(byQform.header.affineSource).toBe('qform');
        // a = √(1 - b² - c² - d²) of float32 b, c, d is uncertain by 4e-4 near half turns, times twice 4 mm.
        expectAffine(byQform.header.affine, volume.affine, 4e-3);
      }),
      { numRuns: 60 },
    );
  });

  it('is read the same by nifti-reader-js', () => {
    const volume: Volume = {
      data: Int16Array.from({ length: 24 }, (_, n) => n * 100 - 500),
      shape: [2, 3, 4],
      affine: affineFrom([-1, 0, 0], [0, 1.5, 0], [0, 0, 3], [10, -20, 30]),
      slope: 1,
      intercept: 0,
      valid: null,
    };
    const bytes = writeNifti(volume);
    const header = new NIFTI1();
    header.readHeader(bytes.buffer as ArrayBuffer);
    expect(header.dims.slice(0, 4)).toEqual([3, 2, 3, 4]);
    expect(header.datatypeCode).toBe(NIFTI1.TYPE_INT16);
    expect(header.vox_offset).toBe(352);
    expectAffine(header.affine as unknown as Affine, volume.affine);
    expect(new Int16Array(bytes.buffer, 352)).toEqual(volume.data);
  });

  it('says no qform of axes that are not perpendicular, and refuses sides NIfTI-1 cannot say', () => {
    const sheared: Volume = {
      data: new Uint8Array(8),
      shape: [2, 2, 2],
      affine: affineFrom([1, 0, 0], [0.3, 1, 0], [0, 0, 1], [0, 0, 0]),
      slope: 1,
      intercept: 0,
      valid: null,
    };
    const bytes = writeNifti(sheared);
    expect(new DataView(bytes.buffer).getInt16(252, true)).toBe(0);
    expectAffine(readNifti(bytes, 'f').header.affine, sheared.affine);
    const long = { ...sheared, data: new Uint8Array(40000), shape: [40000, 1, 1] as Vec3 };
    expect(() => writeNifti(long)).toThrow(/sides must be 1 to 32767/);
  });

  it('chooses gzip by the name of the file', async () => {
    const volume = readNifti(bytesOf('int16-le.nii'), 'x').frame(0);
    await writeNiftiFile(join(dir, 'a.nii'), volume);
    await writeNiftiFile(join(dir, 'a.nii.gz'), volume);
    expect(readFileSync(join(dir, 'a.nii.gz')).subarray(0, 2)).toEqual(Buffer.from([0x1f, 0x8b]));
    expect((await readNiftiFile(join(dir, 'a.nii.gz'))).frame(0)).toEqual(
      (await readNiftiFile(join(dir, 'a.nii'))).frame(0),
    );
    // A half-gzipped pair.
    writeFileSync(join(dir, 'p.hdr'), bytesOf('pair.hdr'));
    writeFileSync(join(dir, 'p.img.gz'), gzipSync(bytesOf('pair.img')));
    expect((await readNiftiFile(join(dir, 'p.hdr'))).frame(0).data).toEqual(volume.data);
  });
});

const data = dataDir();
describe.skipIf(skipped(data === null, 'no real NIfTI files: shared/data is absent'))('real files', () => {
  const files: string[] = [];
  beforeAll(() => {
    for (const entry of readdirSync(data!, { recursive: true, withFileTypes: true }))
      if (entry.name.endsWith('.nii.gz')) files.push(join(entry.parentPath, entry.name));
  });

  it('all read, with plausible voxels', async () => {
    expect(files.length).toBeGreaterThan(30);
    for (const file of files.filter((name) => !/synthseg.*_(0[3-9]|1\d)/.test(name))) {
      const image = await readNiftiFile(file);
      const { data: voxels } = image.frame(0);
      let nonZero = 0;
      for (const value of voxels) if (value !== 0) nonZero++;
      expect(nonZero).toBeGreaterThan(0);
    }
  });
});
