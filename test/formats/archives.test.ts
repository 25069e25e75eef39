/** Zip and tar archives written by Python's zipfile and tarfile, read in place. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { ArchiveError, closeArchives, listArchive } from '../../src/formats/archive/index.js';
import { existsBytes, mountBytes, openBytes, readBytes, unmountBytes } from '../../src/formats/bytes.js';
import { groupSeries, loadSeries, readDicomHeader } from '../../src/formats/dicom/index.js';
import { readNiftiFile } from '../../src/formats/nifti/index.js';

const FIXTURES = fileURLToPath(new URL('../fixtures/formats/', import.meta.url));
const at = (name: string): string => join(FIXTURES, 'archives', name);
const expected = JSON.parse(readFileSync(at('expected.json'), 'utf8')) as Record<
  string,
  { members: Record<string, [number, string]>; skipped: string[] }
>;
const temporary = mkdtempSync(join(tmpdir(), 'precess-archives-'));
afterAll(() => rmSync(temporary, { recursive: true }));
afterEach(() => closeArchives());

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe.each(Object.keys(expected))('%s', (name) => {
  const { members, skipped } = expected[name]!;

  it('lists its members with their sizes, and why others are left out', async () => {
    const listing = await listArchive(at(name));
    expect(Object.fromEntries(listing.members.map((one) => [one.name, one.size]))).toEqual(
      Object.fromEntries(Object.entries(members).map(([member, [size]]) => [member, size])),
    );
    expect(listing.skipped.map(({ path }) => path.slice(at(name).length + 2))).toEqual(skipped);
  });

  it('gives the bytes of every member, in any order', async () => {
    const names = Object.keys(members);
    for (const member of [...names, ...names.reverse()])
      expect([member, sha256(await readBytes(`${at(name)}!/${member}`))]).toEqual([
        member,
        members[member]![1],
      ]);
  });
});

describe('members of archives', () => {
  const archives = ['plain.zip', 'zip64.zip', 'pax.tar', 'gnu.tar.gz'];

  it.each(archives)('of %s are read at any offset', async (name) => {
    const nifti = readFileSync(join(FIXTURES, 'nifti/int16-le.nii'));
    const source = await openBytes(`${at(name)}!/study/b/image.nii`);
    for (const [offset, length] of [
      [0, 4],
      [344, 100],
      [100, 16],
      [nifti.length - 3, 100],
      [nifti.length + 5, 2],
    ] as const)
      expect(Buffer.from(await source.read(offset, length))).toEqual(nifti.subarray(offset, offset + length));
    await source.close();
  });

  it.each(archives)('of %s are images as files are', async (name) => {
    const path = `${at(name)}!/study/a.dcm`;
    const load = async (one: string): Promise<unknown> =>
      loadSeries(groupSeries([await readDicomHeader(one)]).series[0]!);
    expect(await load(path)).toEqual(await load(join(FIXTURES, 'dicom/explicit-s16.dcm')));
    expect((await readNiftiFile(`${at(name)}!/study/b/image.nii`)).frame(0)).toEqual(
      (await readNiftiFile(join(FIXTURES, 'nifti/int16-le.nii'))).frame(0),
    );
  });

  it.each(archives)('of %s are read from an archive in memory', async (name) => {
    const mounted = mountBytes(readFileSync(at(name)), name);
    expect(sha256(await readBytes(`${mounted}!/study/a.dcm`))).toBe(
      expected[name]!.members['study/a.dcm']![1],
    );
    expect(await existsBytes(`${mounted}!/study/a.dcm`)).toBe(true);
    unmountBytes(mounted);
    expect(await existsBytes(`${mounted}!/study/a.dcm`)).toBe(false);
  });

  it('that are not there are reported, and so are archives that are not', async () => {
    await expect(openBytes(`${at('plain.zip')}!/none`)).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(openBytes(`${at('none.zip')}!/none`)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await existsBytes(`${at('plain.zip')}!/none`)).toBe(false);
    expect(await existsBytes(`${at('plain.zip')}!/empty`)).toBe(true);
  });

  it('are read anew when the archive has changed', async () => {
    const path = join(temporary, 'changing.tar');
    writeFileSync(path, readFileSync(at('awkward.tar')));
    expect((await listArchive(path)).members).toHaveLength(1);
    writeFileSync(path, readFileSync(at('pax.tar')));
    expect((await listArchive(path)).members).toHaveLength(5);
  });
});

describe('archives that are not what they say', () => {
  it('are refused with the reason', async () => {
    await expect(listArchive(at('overlap.zip'))).rejects.toThrow(/must not share their bytes/);
    const notZip = join(temporary, 'text.zip');
    writeFileSync(notZip, 'this is no archive '.repeat(100));
    await expect(listArchive(notZip)).rejects.toThrow(ArchiveError);
    for (const [name, content] of [
      ['text.tar', Buffer.from('this is no archive '.repeat(100))],
      ['text.tgz', gzipSync('this is no archive '.repeat(100))],
      ['not-gzip.tgz', readFileSync(at('pax.tar'))],
      ['cut.tgz', readFileSync(at('gnu.tar.gz')).subarray(0, 3000)],
    ] as const) {
      writeFileSync(join(temporary, name), content);
      await expect(listArchive(join(temporary, name)), name).rejects.toThrow(ArchiveError);
    }
  });

  it('with a damaged member give the others', async () => {
    const bytes = readFileSync(at('plain.zip'));
    // A byte of the deflated DICOM file, after its local header.
    bytes[bytes.indexOf('study/a.dcm') + 600]! ^= 0xff;
    const path = join(temporary, 'damaged.zip');
    writeFileSync(path, bytes);
    await expect(readBytes(`${path}!/study/a.dcm`)).rejects.toThrow(/damaged or cut off/);
    expect(sha256(await readBytes(`${path}!/study/b/image.nii`))).toBe(
      expected['plain.zip']!.members['study/b/image.nii']![1],
    );
  });

  it('that declare more than their bytes can hold have no such member', async () => {
    const bytes = readFileSync(at('plain.zip'));
    const central = bytes.lastIndexOf('study/a.dcm') - 46;
    bytes.writeUInt32LE(0xfffffff0, central + 24);
    const path = join(temporary, 'bomb.zip');
    writeFileSync(path, bytes);
    const { members, skipped } = await listArchive(path);
    expect(members.map(({ name }) => name)).not.toContain('study/a.dcm');
    expect(skipped[0]!.reason).toMatch(/cannot hold/);
  });

  it('leave nothing in the folder they are in', () => {
    expect(readdirSync(join(FIXTURES, 'archives')).sort()).toEqual(
      [...Object.keys(expected), 'expected.json', 'overlap.zip'].sort(),
    );
  });
});
