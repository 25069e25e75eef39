/** Zip and tar archives with damaged bytes: 10,000 cases a reader. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { ArchiveError, closeArchives, listArchive } from '../../src/formats/archive/index.js';
import { ByteSourceError, readBytes } from '../../src/formats/bytes.js';
import { fuzz } from './fuzz.js';

const seed = (name: string): Buffer =>
  readFileSync(fileURLToPath(new URL(`../fixtures/formats/archives/${name}`, import.meta.url)));
afterAll(() => closeArchives());

/** Reads every member; each has the bytes that the list says, and no name leads out. */
async function readAll(path: string): Promise<void> {
  const { members } = await listArchive(path);
  for (const member of members) {
    expect(member.name.split('/')).not.toContain('..');
    expect((await readBytes(member.path)).length).toBeLessThanOrEqual(member.size);
  }
}

describe('damaged archives are read or refused:', () => {
  it.each([
    ['plain.zip', 5000],
    ['zip64.zip', 2500],
    ['awkward.zip', 2500],
  ])('%s', async (name, runs) => {
    const bytes = seed(name);
    const errors = [ArchiveError, ByteSourceError];
    await fuzz(bytes, name, runs / 2, errors, readAll);
    // Half of the damage in the directory at the end.
    const from = bytes.indexOf(Buffer.from('PK\x01\x02', 'latin1'));
    await fuzz(bytes, name, runs / 2, errors, readAll, { from });
  });

  it.each([
    ['pax.tar', 5000, 3000],
    ['awkward.tar', 5000, 4000],
    ['gnu.tar.gz', 5000, 13000],
    ['ustar.tgz', 5000, 5000],
  ])('%s', async (name, runs, within) => {
    await fuzz(seed(name), name, runs, [ArchiveError, ByteSourceError], readAll, { to: within });
  });
});
