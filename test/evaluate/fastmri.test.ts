/** fastMRI's files, written here with their published names, attributes and header. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { File, ready } from 'h5wasm/node';
import { afterAll, describe, expect, it } from 'vitest';
import { datasetNamed } from '../../src/evaluate/datasets/index.js';
import { readFastmriVolume } from '../../src/formats/fastmri.js';
import { axisCodes } from '../../src/volume/orientation.js';

const dir = await mkdtemp(join(tmpdir(), 'precess-fastmri-'));
afterAll(() => rm(dir, { recursive: true, force: true }));
await ready;

const XML = `<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
  <acquisitionSystemInformation><systemVendor>SIEMENS</systemVendor>
    <systemFieldStrength_T>2.893620</systemFieldStrength_T></acquisitionSystemInformation>
  <encoding>
    <encodedSpace><matrixSize><x>12</x><y>6</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>40</x><y>20</y><z>5</z></fieldOfView_mm></encodedSpace>
    <reconSpace><matrixSize><x>6</x><y>6</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>12</x><y>18</y><z>5</z></fieldOfView_mm></reconSpace>
  </encoding>
</ismrmrdHeader>`;
const SHAPE = [4, 6, 6];

async function scan(
  path: string,
  acquisition: string,
  patient: string | null,
  over: { xml?: string; data?: Float32Array; image?: string } = {},
): Promise<string> {
  const full = join(dir, path);
  await mkdir(dirname(full), { recursive: true });
  const file = new File(full, 'w');
  const data = over.data ?? Float32Array.from({ length: 4 * 6 * 6 }, (_, n) => n / 10);
  file.create_dataset({ name: over.image ?? 'reconstruction_rss', data, shape: SHAPE, dtype: '<f' });
  file.create_dataset({ name: 'ismrmrd_header', data: over.xml ?? XML });
  file.create_attribute('acquisition', acquisition);
  if (patient !== null) file.create_attribute('patient_id', patient);
  file.close();
  return full;
}

describe('fastMRI', () => {
  it('is read as published: sequences as labels, its split, each scan once, patients and scanners', async () => {
    await scan('set/multicoil_train/file_brain_AXT2_200_1.h5', 'AXT2', 'aa');
    await scan('set/multicoil_train/file_brain_AXT1_200_2.h5', 'AXT1', 'aa');
    await scan('set/singlecoil_train/file_brain_AXT1_200_2.h5', 'AXT1', 'aa');
    await scan('set/multicoil_val/file_brain_AXT2_200_3.h5', 'AXT2', null);
    await scan('set/multicoil_test/file_brain_AXT2_200_4.h5', 'AXT2', 'bb', { image: 'kspace' });
    const cases = await datasetNamed('fastmri').read(join(dir, 'set'));
    expect(
      cases.map(({ label, fold, images }) => [label, fold, images.image!.slice(dir.length + 5)]),
    ).toEqual([
      ['AXT1', -1, 'multicoil_train/file_brain_AXT1_200_2.h5'],
      ['AXT2', -1, 'multicoil_train/file_brain_AXT2_200_1.h5'],
      ['AXT2', 0, 'multicoil_val/file_brain_AXT2_200_3.h5'],
    ]);
    const [a, b, c] = cases.map(({ patientId }) => patientId);
    expect(a).toBe(b);
    expect(c).not.toBe(a);
    // No name of the publisher is kept.
    expect(JSON.stringify(cases.map(({ id, patientId }) => [id, patientId]))).not.toMatch(/file|aa"/);
    expect(cases[0]!.about).toEqual({ manufacturer: 'SIEMENS', fieldStrengthT: 2.89 });
  });

  it('gives the image on the grid of its header: slices, rows, columns of HDF5 are k, j, i', async () => {
    const data = Float32Array.from({ length: 4 * 6 * 6 }, (_, n) => n);
    data[7] = NaN;
    const volume = await readFastmriVolume(await scan('axial.h5', 'AXFLAIR', null, { data }));
    expect(volume.shape).toEqual([6, 6, 4]);
    expect(volume.data[2 + 6 * (3 + 6 * 1)]).toBe(1 * 36 + 3 * 6 + 2);
    expect([volume.data[7], volume.valid![7], volume.valid![8]]).toEqual([0, 0, 1]);
    // 12 / 6, 18 / 6 and 5 mm.
    expect([0, 1, 2].map((d) => Math.hypot(...volume.affine.slice(0, 3).map((row) => row[d]!)))).toEqual([
      2, 3, 5,
    ]);
    expect(axisCodes(volume.affine)).toBe('LPS');
    const knee = await readFastmriVolume(await scan('knee.h5', 'CORPDFS_FBK', null));
    expect(knee.valid).toBeNull();
    expect(axisCodes(knee.affine)).toBe('LIA');
  });

  it('says what is wrong with a file', async () => {
    await writeFile(join(dir, 'letter.h5'), 'Dear colleague');
    await expect(readFastmriVolume(join(dir, 'letter.h5'))).rejects.toThrow(
      /letter\.h5 must be an HDF5 file/,
    );
    const test = await scan('test.h5', 'AXT2', null, { image: 'kspace' });
    await expect(readFastmriVolume(test)).rejects.toThrow(/must hold an image reconstruction_rss/);
    const bare = await scan('bare.h5', 'AXT2', null, { xml: '<ismrmrdHeader/>' });
    await expect(readFastmriVolume(bare)).rejects.toThrow(/must say in its ismrmrd_header how large/);
    await mkdir(join(dir, 'empty'));
    await expect(datasetNamed('fastmri').read(join(dir, 'empty'))).rejects.toThrow(
      /\{singlecoil,multicoil\}/,
    );
  });
});
