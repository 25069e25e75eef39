/** The corpus's parts on their own: splits, rights, lock, names of files, label maps, reports, voxels. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ownerOf } from '../../src/corpus/file-names.js';
import { CorpusError, parseRights, splitOf } from '../../src/corpus/index.js';
import { noMrImage } from '../../src/corpus/label-map.js';
import { lock } from '../../src/corpus/lock.js';
import { createKey, readPseudonyms } from '../../src/corpus/pseudonym.js';
import { cleanReport } from '../../src/corpus/report.js';
import { readVoxels, writeVoxels } from '../../src/corpus/voxels.js';
import type { Vec3, Volume } from '../../src/volume/volume.js';
import { folder, image } from './made.js';

describe('splitOf', () => {
  it.each([
    // python3: int.from_bytes(hashlib.sha256(f'7:{patient}'.encode()).digest()[:6], 'big') / 2**48
    ['pt-0123456789abcdef', 0.957811659693256],
    ['pt-fedcba9876543210', 0.7965219943165316],
    ['pt-00000000000000aa', 0.3634273087708806],
  ])('%s is held out above %f', (patient, at) => {
    expect(splitOf(patient, 7, at - 1e-9)).toBe('train');
    expect(splitOf(patient, 7, at + 1e-9)).toBe('held-out');
  });

  it('holds out about the fraction asked for, others for another seed', () => {
    const patients = Array.from({ length: 4000 }, (_, n) => `pt-${n}`);
    const held = (seed: number): string[] => patients.filter((p) => splitOf(p, seed, 0.2) === 'held-out');
    // Binomial(4000, 0.2): 5 standard deviations are 127.
    expect(Math.abs(held(1).length - 800)).toBeLessThan(127);
    expect(held(2)).not.toEqual(held(1));
  });
});

describe('parseRights', () => {
  it('reads licence and uses', () => {
    expect(parseRights('CC BY 4.0:train,evaluate, share-weights')).toMatchObject({
      licence: 'CC BY 4.0',
      use: ['train', 'evaluate', 'share-weights'],
    });
    expect(parseRights('DUA: site 3:train').licence).toBe('DUA: site 3');
  });
  it.each(['CC BY', ':train', 'CC BY:', 'CC BY:fly', ''])('refuses %j', (text) => {
    expect(() => parseRights(text)).toThrow(CorpusError);
  });
});

describe('lock', () => {
  it('lets one in at a time', async () => {
    const dir = await folder();
    const unlock = await lock(dir);
    await expect(lock(dir)).rejects.toThrow(/one command at a time/);
    await unlock();
    await (
      await lock(dir)
    )();
  });

  it('respects a living process and takes over from a dead one', async () => {
    const dir = await folder();
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    await once(child, 'spawn');
    await writeFile(join(dir, 'lock'), JSON.stringify({ pid: child.pid, host: hostname() }));
    await expect(lock(dir)).rejects.toThrow(/one command at a time/);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await (
      await lock(dir)
    )();
  });

  it('takes over a lock left by an earlier process with the same id', async () => {
    const dir = await folder();
    await writeFile(join(dir, 'lock'), JSON.stringify({ pid: process.pid, host: hostname() }));
    await (
      await lock(dir)
    )();
  });

  it('cannot judge another machine', async () => {
    const dir = await folder();
    await writeFile(join(dir, 'lock'), JSON.stringify({ pid: 1, host: 'elsewhere' }));
    await expect(lock(dir)).rejects.toThrow(/delete/);
  });
});

describe('pseudonyms', () => {
  it('depend on the key, which only its owner can read', async () => {
    const [a, b] = [await folder(), await folder()];
    await createKey(a);
    await createKey(b);
    expect((await stat(join(a, 'key'))).mode & 0o777).toBe(0o600);
    expect(await readFile(join(a, 'key'), 'utf8')).toMatch(/^[0-9a-f]{64}\n$/);
    const [inA, againInA, inB] = [await readPseudonyms(a), await readPseudonyms(a), await readPseudonyms(b)];
    expect(inA.series('1.2.3')).toMatch(/^se-[0-9a-f]{16}$/);
    expect(inA.series('1.2.3')).toBe(againInA.series('1.2.3'));
    expect(inA.series('1.2.3')).not.toBe(inB.series('1.2.3'));
    expect(inA.series('1.2.3').slice(3)).not.toBe(inA.study('1.2.3').slice(3));
    expect(inA.series('ab', 'c')).not.toBe(inA.series('a', 'bc'));
  });

  it('say what to do when the key is gone or damaged', async () => {
    const dir = await folder();
    await expect(readPseudonyms(dir)).rejects.toThrow(/put the corpus's key back/);
    await writeFile(join(dir, 'key'), 'abc');
    await expect(readPseudonyms(dir)).rejects.toThrow(/32 bytes in hex/);
  });
});

describe('ownerOf', () => {
  const patient = (path: string): string => ownerOf(path).patient.join('/');
  const study = (path: string): string => ownerOf(path).study.join('/');
  it.each([
    [
      'BIDS sessions',
      '/d/ds1/sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz',
      '/d/ds1/sub-01/ses-2/anat/x_T2w.nii.gz',
    ],
    [
      'patient folders',
      '/d/brain-ms/patient01/study1_FLAIR.nii.gz',
      '/d/brain-ms/patient01/study2_T1W.nii.gz',
    ],
    ['BraTS time points', '/d/m/BraTS-MET-00110-000-t1c.nii.gz', '/d/m/BraTS-MET-00110-001-t1c.nii.gz'],
    ['session folders', '/d/adni/X/ses-a/T1.nii', '/d/adni/X/ses-b/T1.nii'],
  ])('%s: one patient, two studies', (_, a, b) => {
    expect(patient(a)).toBe(patient(b));
    expect(study(a)).not.toBe(study(b));
  });
  it.each([
    ['contrasts of a study', '/d/p/patient01/study1_FLAIR.nii.gz', '/d/p/patient01/study1_T2W.nii.gz'],
    ['one folder', '/d/spine-sct/t1w.nii.gz', '/d/spine-sct/t2.nii.gz'],
    ['numbered files', '/d/ixi/IXI002-Guys-0828-T1.nii.gz', '/d/ixi/IXI002-Guys-0828-T2.nii.gz'],
    ['nnU-Net channels', '/d/Task1/case_0007_0000.nii.gz', '/d/Task1/case_0007_0001.nii.gz'],
    ['another disk', '/d/ds1/sub-01/anat/sub-01_T1w.nii.gz', '/mnt/x/ds1/sub-01/anat/sub-01_T1w.nii.gz'],
  ])('%s: one study', (_, a, b) => {
    expect(study(a)).toBe(study(b));
  });
  it.each([
    ['two data sets', '/d/ds1/sub-01/anat/sub-01_T1w.nii.gz', '/d/ds2/sub-01/anat/sub-01_T1w.nii.gz'],
    ['two numbers', '/d/ixi/IXI002-Guys-0828-T1.nii.gz', '/d/ixi/IXI012-HH-1211-T1.nii.gz'],
    ['two patients', '/d/p/patient01/study1_FLAIR.nii.gz', '/d/p/patient03/study1_FLAIR.nii.gz'],
    ['two BraTS cases', '/d/m/BraTS-MET-00110-000-t1c.nii.gz', '/d/m/BraTS-MET-00111-000-t1c.nii.gz'],
  ])('%s: two patients', (_, a, b) => {
    expect(patient(a)).not.toBe(patient(b));
  });
});

describe('noMrImage', () => {
  const filled = (of: (i: number, j: number, k: number) => number): Volume => {
    const volume = image([30, 30, 10]);
    const data = new Int16Array(volume.data.length);
    for (let n = 0; n < data.length; n++) data[n] = of(n % 30, Math.floor(n / 30) % 30, Math.floor(n / 900));
    return { ...volume, data };
  };
  const patches = filled((i, j) => (i < 3 ? 0 : 1 + Math.floor(i / 6) * 10 + Math.floor(j / 6)));

  it('lets images pass', () => {
    expect(noMrImage(image(), 'study1_FLAIR')).toBeNull();
    // 8-bit noise is no label map.
    expect(
      noMrImage(
        filled((i, j, k) => (i * 7919 + j * 104729 + k * 1299709) % 251),
        'FLAIR',
      ),
    ).toBeNull();
  });
  it.each([
    ['few values', filled((i) => (i < 12 ? 0 : 3)), 'anything', /label map/],
    ['patches of many labels', patches, 'anything', /label map/],
    ['a name and whole values', filled((i, j) => (i * 31 + j * 17) % 300), 't2_seg-manual', /label map/],
    ['a name: gt', filled((i) => i), 'gt', /label map/],
    ['one value', filled(() => 7), 'T1', /same value/],
    ['CT by name', image(), 'example_ct_sm', /CT/],
    ['CT by its air', filled((i, j, k) => (i < 10 ? -1000 : (i * j * k * 37) % 900)), 'scan', /CT/],
    ['a probability map', image(), 'sub-01_label-GM_probseg', /probability/],
  ])('refuses %s', (_, volume, name, reason) => {
    expect(noMrImage(volume, name)).toMatch(reason);
  });
  it('does not take parts of words for what they are not', () => {
    expect(noMrImage(image(), 'ACT_contrast_fact')).toBeNull();
    expect(noMrImage(image(), 'bisegmental_T1')).toBeNull();
  });
});

describe('cleanReport', () => {
  const identifying = [
    'Müller^Anna^Maria',
    '471123',
    '19610402',
    '1.2.826.0.1.3680043.2.1125.1',
    'ACC-20-7',
    'Klinik am See',
  ];
  it.each([
    ['Anna MULLER has a lesion in the left lobe.', 'has a lesion in the left lobe.'],
    ['Patient müller, Maria: meniscal tear.', 'Patient: meniscal tear.'],
    ['Compared with 12.03.2010 the lesion has grown.', 'Compared with the lesion has grown.'],
    ['Born 1961-04-02. Normal knee joint.', 'Born. Normal knee joint.'],
    ['Seen on March 3rd, 2011: stable disease here.', 'Seen on: stable disease here.'],
    ['ID 471123, accession ACC-20-7, normal brain volume.', 'ID, accession, normal brain volume.'],
    ['Call +49 30 1234567 about the hip fracture.', 'Call about the hip fracture.'],
    ['Mail a.b@clinic.example for the liver lesion.', 'Mail for the liver lesion.'],
    ['Dr. Hans Meier-Schulz saw a torn ligament.', 'saw a torn ligament.'],
    ['Normal study of the spine. Electronically signed by J. Doe.', 'Normal study of the spine.'],
    ['UID 1.2.826.0.1.3680043.2.1125.1 shows the prostate well.', 'UID shows the prostate well.'],
    ['MRN12345678 with disc protrusion L4.', 'with disc protrusion L4.'],
    ['A 93-year-old with white matter lesions.', 'A with white matter lesions.'],
    ['Scanned at Klinik am See, normal knee cartilage.', 'Scanned at, normal knee cartilage.'],
  ])('%s', (text, clean) => {
    expect(cleanReport(text, identifying)).toBe(clean);
  });
  it('leaves findings, measures and levels alone', () => {
    const text =
      'Lesion of 12 x 8 x 15 mm in the peripheral zone, PI-RADS 4. Disc L4/5 bulges; T2 3.5 mm, b = 800.';
    expect(cleanReport(text, identifying)).toBe(text);
  });
  it('is nothing when little is left', () => {
    expect(cleanReport('Müller 471123', identifying)).toBe('');
    expect(cleanReport('', identifying)).toBe('');
  });
  it('leaves no word of a name, whatever its case', () => {
    const name = fc.string({
      unit: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'h', 'k', 'ö', 'é'),
      minLength: 3,
      maxLength: 8,
    });
    const around = fc.array(fc.constantFrom('normal', 'knee', 'with', 'tear,', 'of', '(left)'), {
      maxLength: 5,
    });
    fc.assert(
      fc.property(name, name, around, around, (family, given, before, after) => {
        const text = [...before, family.toUpperCase(), ...after, given, ...before].join(' ');
        const left = cleanReport(text, [`${family}^${given}`]).toLowerCase();
        const words = left.split(/[^\p{L}]+/u);
        expect(words).not.toContain(family);
        expect(words).not.toContain(given);
      }),
    );
  });
});

describe('voxels', () => {
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
  it.each(types.map((type) => [type.name, type] as const))('%s come back equal', async (_, type) => {
    const path = join(await folder(), 'a.ome.zarr');
    const from = image([70, 66, 5]);
    // Signed and beyond 16 bits where the type can hold it.
    const values = Array.from(from.data, (value, n) => (n % 3 === 0 ? -value : value * 40));
    const data = new type(values);
    const volume: Volume = { ...from, data, slope: 0.25, intercept: -3 };
    await writeVoxels(path, volume);
    expect(await readVoxels(path)).toEqual(volume);
  });

  it('keeps the mask only where something was not measured', async () => {
    const dir = await folder();
    const volume = image();
    const mask = new Uint8Array(volume.data.length).fill(1);
    await writeVoxels(join(dir, 'all'), { ...volume, valid: mask });
    expect((await readVoxels(join(dir, 'all'))).valid).toBeNull();
    const some = mask.slice();
    some.fill(0, 100, 300);
    await writeVoxels(join(dir, 'some'), { ...volume, valid: some });
    expect((await readVoxels(join(dir, 'some'))).valid).toEqual(some);
  });

  it('reads a box: voxels, mask and place', async () => {
    const path = join(await folder(), 'a');
    const volume = image([130, 70, 9]);
    const valid = Uint8Array.from(volume.data, (value) => (value % 7 === 0 ? 0 : 1));
    await writeVoxels(path, { ...volume, valid });
    const [start, shape]: [Vec3, Vec3] = [
      [61, 3, 2],
      [9, 64, 4],
    ];
    const box = await readVoxels(path, start, shape);
    expect(box.shape).toEqual(shape);
    for (let k = 0; k < shape[2]; k++)
      for (let j = 0; j < shape[1]; j++)
        for (let i = 0; i < shape[0]; i++) {
          const at = i + shape[0] * (j + shape[1] * k);
          const from = start[0] + i + 130 * (start[1] + j + 70 * (start[2] + k));
          if (box.data[at] !== volume.data[from] || box.valid![at] !== valid[from])
            throw new Error(`voxel ${i} ${j} ${k}`);
        }
    // -0.8·61 + 40, -0.8·3 + 50, 3·2 - 20
    expect(box.affine.map((row) => row[3])).toEqual([
      expect.closeTo(-8.8, 9),
      expect.closeTo(47.6, 9),
      expect.closeTo(-14, 9),
      1,
    ]);
    await expect(readVoxels(path, [100, 0, 0], [40, 1, 1])).rejects.toThrow(/inside the image of 130×70×9/);
    await expect(readVoxels(path, [0, 0, 0], [1, 0, 1])).rejects.toThrow(CorpusError);
  });

  it('is OME-Zarr 0.5 with blosc as the Zarr v3 specification names it', async () => {
    const path = join(await folder(), 'a');
    await writeVoxels(path, image());
    const group = JSON.parse(await readFile(join(path, 'zarr.json'), 'utf8')) as Record<string, unknown>;
    const array = JSON.parse(await readFile(join(path, '0', 'zarr.json'), 'utf8')) as Record<string, unknown>;
    expect(group).toMatchObject({
      zarr_format: 3,
      node_type: 'group',
      attributes: {
        ome: {
          version: '0.5',
          multiscales: [
            {
              axes: ['z', 'y', 'x'].map((name) => ({ name, type: 'space', unit: 'millimeter' })),
              datasets: [{ path: '0', coordinateTransformations: [{ type: 'scale' }] }],
            },
          ],
        },
      },
    });
    expect(array).toMatchObject({
      zarr_format: 3,
      node_type: 'array',
      shape: [8, 36, 40],
      data_type: 'uint16',
      codecs: [
        {
          name: 'sharding_indexed',
          configuration: {
            chunk_shape: [8, 36, 40],
            codecs: [
              { name: 'bytes', configuration: { endian: 'little' } },
              { name: 'blosc', configuration: { cname: 'zstd', shuffle: 'shuffle', typesize: 2 } },
            ],
            index_codecs: [{ name: 'bytes' }, { name: 'crc32c' }],
            index_location: 'end',
          },
        },
      ],
    });
    // c-blosc frame header: flags byte 2, bit 0 is set when the bytes were shuffled.
    const chunk = await readFile(join(path, '0', 'c', '0', '0', '0'));
    expect(chunk[2]! & 1).toBe(1);
  });
});
