/** NRRD, MetaImage and MGH, against what SimpleITK and nibabel read in the same files. */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import type { ImageFile } from '../../src/formats/image-file.js';
import { MgzError, openMgz } from '../../src/formats/mgz/index.js';
import { MhaError, openMha } from '../../src/formats/mha/index.js';
import { NrrdError, openNrrd } from '../../src/formats/nrrd/index.js';

const DIR = fileURLToPath(new URL('../fixtures/formats/volumes/', import.meta.url));
const expected = JSON.parse(readFileSync(join(DIR, 'expected.json'), 'utf8')) as Record<
  string,
  { shape: number[]; affine: number[][]; frames: string[] }
>;
const temporary = mkdtempSync(join(tmpdir(), 'precess-volumes-'));
afterAll(() => rmSync(temporary, { recursive: true }));

function openImage(path: string): Promise<ImageFile> {
  if (/\.(nrrd|nhdr)$/.test(path)) return openNrrd(path);
  return /\.mg[hz]$/.test(path) ? openMgz(path) : openMha(path);
}

const digest = (data: ArrayLike<number>): string =>
  createHash('sha256')
    .update(new Uint8Array(Float64Array.from(data).buffer))
    .digest('hex');

describe('volumes in', () => {
  it.each(Object.keys(expected))('%s are as the reference reads them', async (name) => {
    const { shape, affine, frames } = expected[name]!;
    const image = await openImage(join(DIR, name));
    expect(image.shape).toEqual(shape);
    expect(image.frames).toBe(frames.length);
    image.affine.flat().forEach((value, n) => expect(value).toBeCloseTo(affine.flat()[n]!, 4));
    for (const [t, hash] of frames.entries()) {
      const volume = await image.frame(t);
      expect(volume.valid).toBeNull();
      expect(digest(volume.data)).toBe(hash);
      const slabs = image.slabs(t);
      const values: number[] = [];
      for (let k = 0; k < shape[2]!; k += 2)
        values.push(...(await slabs.readSlices(k, Math.min(k + 2, shape[2]!))).data);
      // Back to what was read already.
      expect((await slabs.readSlices(1, 2)).data).toEqual(
        volume.data.subarray(shape[0]! * shape[1]!, 2 * shape[0]! * shape[1]!),
      );
      await slabs.close();
      expect(digest(values)).toBe(hash);
    }
    await expect(image.frame(frames.length)).rejects.toThrow(/has frames/);
    expect(() => image.slabs(frames.length)).toThrow(/has frames/);
  });

  it('MGH carry their scan parameters', async () => {
    const { parameters } = await openMgz(join(DIR, 'parameters.mgh'));
    expect(parameters).toMatchObject({ repetitionTime: 2300, echoTime: 2.5, inversionTime: 900 });
    expect(parameters.flipAngle).toBeCloseTo(30, 4);
    expect((await openMgz(join(DIR, 'int16.mgz'))).parameters.echoTime).toBeNull();
  });
});

const NRRD =
  'NRRD0005\ntype: float\ndimension: 3\nspace: LPS\nsizes: 2 2 1\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n' +
  'kinds: domain domain domain\nendian: little\nencoding: raw\nspace origin: (0,0,0)\n\n';
const MHA =
  'ObjectType = Image\nNDims = 3\nDimSize = 2 2 1\nElementType = MET_FLOAT\nElementDataFile = LOCAL\n';
const four = Buffer.from(Float32Array.of(1, NaN, Infinity, 4).buffer);

async function openText(name: string, text: string, body: Buffer = four): Promise<ImageFile> {
  const path = join(temporary, name);
  writeFileSync(path, Buffer.concat([Buffer.from(text), body]));
  return openImage(path);
}

describe('voxels', () => {
  it.each([
    ['a.nrrd', NRRD],
    ['a.mha', MHA],
  ])('of %s that are not finite count as unmeasured', async (name, text) => {
    const { data, valid } = await (await openText(name, text)).frame(0);
    expect([...data]).toEqual([1, 0, 0, 4]);
    expect([...valid!]).toEqual([1, 0, 0, 1]);
  });
});

describe('written-out voxels', () => {
  const text = (encoding: string): string =>
    NRRD.replace('raw', encoding).replace('float', 'short').replace('2 2 1', '200 200 5');
  const values = Int16Array.from({ length: 200_000 }, (_, n) => (n * 7919) % 30_000);

  // Longer than the pieces in which files are read, so that words and digits are cut in two.
  it.each([
    ['ascii', values.join(' ')],
    [
      'hex',
      Buffer.from(values.buffer)
        .toString('hex')
        .replace(/(.{75})/g, '$1\n'),
    ],
  ])('are read forwards, %s', async (encoding, body) => {
    const image = await openText(`${encoding}.nrrd`, text(encoding), Buffer.from(body));
    const slabs = image.slabs(0);
    for (let k = 0; k < 5; k++)
      expect(digest((await slabs.readSlices(k, k + 1)).data)).toBe(
        digest(values.subarray(k * 40_000, (k + 1) * 40_000)),
      );
    await slabs.close();
  });

  it.each([
    ['ascii', 'a word', `1 2 x3 ${'0 '.repeat(200_000)}`, /must be numbers, got "x3"/],
    ['ascii', 'a word without end', '7'.repeat(400_000), /must be numbers, got "7777/],
    ['hex', 'what is no digit', `${'00'.repeat(70)}0g${'00'.repeat(400_000)}`, /digits, got "0g"/],
    ['hex', 'too few digits', '00 11', /has room for/],
  ])('%s with %s are refused', async (encoding, _, body, message) => {
    const read = async (): Promise<unknown> =>
      (await openText(`bad-${encoding}.nrrd`, text(encoding), Buffer.from(body))).frame(0);
    await expect(read()).rejects.toThrow(message);
    await expect(read()).rejects.toBeInstanceOf(NrrdError);
  });
});

describe('a broken rule is named', () => {
  it.each([
    ['another magic', NRRD.replace('NRRD0005', 'NRRX0005'), /must start with NRRD/],
    ['no empty line', NRRD.trimEnd(), /ends inside its header|header that ends/],
    ['too many voxels', NRRD.replace('2 2 1', '2 2 9000000000'), /has room for|can be counted/],
    ['bytes without order', NRRD.replace('endian: little\n', ''), /endian/],
    ['a block type', NRRD.replace('float', 'block'), /type of/],
    ['bzip2', NRRD.replace('raw', 'bzip2'), /encoding/],
    ['an unknown space', NRRD.replace('LPS', 'somewhere'), /space of/],
    ['2D', NRRD.replace('dimension: 3', 'dimension: 2').replace('2 2 1', '2 2'), /3 axes of space/],
    ['complex numbers', NRRD.replace('domain domain', 'complex domain'), /one number a voxel/],
    ['a flat grid', NRRD.replace('(0,0,1)', '(0,1,0)'), /span space/],
    ['a data file elsewhere', NRRD.replace('\n\n', '\ndata file: ../x.raw\n\n'), /header's folder/],
    ['an absolute data file', NRRD.replace('\n\n', '\ndata file: /etc/hostname\n\n'), /header's folder/],
    ['a missing data file', NRRD.replace('\n\n', '\ndata file: none.raw\n\n'), /not there/],
  ])('NRRD with %s', async (_, text, message) => {
    const opening = openText('bad.nrrd', text, Buffer.from(four));
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.toBeInstanceOf(NrrdError);
  });

  it.each([
    ['no data file', MHA.replace(/ElementDataFile.*/, ''), /ElementDataFile/],
    ['other sizes', MHA.replace('2 2 1', '2 2'), /DimSize/],
    ['2D', MHA.replace('NDims = 3', 'NDims = 2').replace('2 2 1', '2 2'), /NDims/],
    ['a type of pointers', MHA.replace('MET_FLOAT', 'MET_OTHER'), /ElementType/],
    ['several channels', `ElementNumberOfChannels = 3\n${MHA}`, /one number a voxel/],
    ['too many voxels', MHA.replace('2 2 1', '2 2 70000'), /has room for/],
    ['a crooked matrix', `TransformMatrix = 1 0 0 1 0 0 0 0 1\n${MHA}`, /span space/],
    ['a data file elsewhere', MHA.replace('LOCAL', '/etc/hostname'), /header's folder/],
  ])('MetaImage with %s', async (_, text, message) => {
    const opening = openText('bad.mha', text);
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.toBeInstanceOf(MhaError);
  });

  it('MGH that is cut off, or none', async () => {
    const bytes = readFileSync(join(DIR, 'int16.mgh'));
    mkdirSync(join(temporary, 'mgh'));
    for (const [name, content, message] of [
      ['cut', bytes.subarray(0, 300), /has room for/],
      ['header', bytes.subarray(0, 100), /header of 284/],
      ['other', Buffer.from('x'.repeat(400)), /version/],
    ] as const) {
      const path = join(temporary, 'mgh', `${name}.mgh`);
      writeFileSync(path, content);
      await expect(openMgz(path), name).rejects.toThrow(message);
      await expect(openMgz(path), name).rejects.toBeInstanceOf(MgzError);
    }
  });
});
