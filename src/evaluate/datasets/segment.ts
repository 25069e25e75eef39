/** Public sets with masks: brain tumours, the heart, the whole body. */
import { basename, dirname, join } from 'node:path';
import { filesIn, found, named, tableIn, type SegmentationCase, type SegmentDataset } from './dataset.js';
import { BRATS_LESIONS } from '../lesion-wise.js';
import { published } from './published.js';

/** Where a publication measures no surfaces. */
const TOLERANCE_MM = 2;

/** Names of the four sequences in 2020 and 2021 (t1, t1ce, t2, flair) and from 2023 on (t1n, t1c, t2w, t2f). */
const BRATS = {
  t1: ['t1n', 't1'],
  t1ce: ['t1c', 't1ce'],
  t2: ['t2w', 't2'],
  flair: ['t2f', 'flair'],
} as const;

/** Menze et al. 2015; Baid et al. 2021. */
export const brats: SegmentDataset = {
  kind: 'segment',
  ...published('brats'),
  title: 'BraTS: glioma',
  channels: ['flair', 't1ce', 't2', 't1'],
  toleranceMm: TOLERANCE_MM,
  regions: [
    { name: 'WT', title: 'whole tumour', of: ['necrotic core', 'oedema', 'enhancing tumour'] },
    { name: 'TC', title: 'tumour core', of: ['necrotic core', 'enhancing tumour'] },
    { name: 'ET', title: 'enhancing tumour', of: ['enhancing tumour'] },
  ],
  async read(dir) {
    const files = await filesIn(dir);
    const all = new Set(files);
    const cases = files.flatMap((file): SegmentationCase[] => {
      const match = /^(.*[-_])seg(\.nii(?:\.gz)?)$/.exec(file);
      if (!match) return [];
      const [stem, end] = [match[1]!, match[2]!];
      const images: Record<string, string> = {};
      for (const [channel, names] of Object.entries(BRATS)) {
        const name = names.find((one) => all.has(`${stem}${one}${end}`));
        if (name !== undefined) images[channel] = join(dir, `${stem}${name}${end}`);
      }
      if (Object.keys(images).length < 4) return [];
      const id = basename(dirname(file));
      // BraTS-GLI-00000-001 is the second time point of BraTS-GLI-00000.
      const patient = /^(BraTS-\w+-\d+)-\d+$/.exec(id)?.[1] ?? id;
      // Enhancing tumour is 4 until 2021 and 3 since.
      const labels = { 'necrotic core': 1, oedema: 2, 'enhancing tumour': id.startsWith('BraTS-') ? 3 : 4 };
      const lesions = BRATS_LESIONS[/^BraTS-([A-Z]+)-/.exec(id)?.[1] ?? ''];
      return [
        {
          ...named(id, patient),
          images,
          mask: join(dir, file),
          labels,
          split: null,
          ...(lesions && { lesions }),
        },
      ];
    });
    return found(cases, dir, 'CASE/CASE-{t1n,t1c,t2w,t2f,seg}.nii.gz');
  },
};

/** Bernard et al. 2018: training/patientNNN with Info.cfg; end-diastole and end-systole. */
export const acdc: SegmentDataset = {
  kind: 'segment',
  ...published('acdc'),
  title: 'ACDC: the heart in end-diastole and end-systole',
  channels: ['cine'],
  toleranceMm: TOLERANCE_MM,
  regions: [],
  async read(dir) {
    const files = await filesIn(dir);
    const all = new Set(files);
    const cases = files.flatMap((file): SegmentationCase[] => {
      const match = /((?:^|.*\/)(patient\d{3})\/\2_frame\d{2})_gt(\.nii(?:\.gz)?)$/.exec(file);
      if (!match || !all.has(`${match[1]!}${match[3]!}`)) return [];
      const split = /(^|\/)testing\//.test(file) ? 'test' : /(^|\/)training\//.test(file) ? 'train' : null;
      const images = { cine: join(dir, `${match[1]!}${match[3]!}`) };
      const labels = { 'right ventricle': 1, myocardium: 2, 'left ventricle': 3 };
      return [{ ...named(basename(file), match[2]!), images, mask: join(dir, file), labels, split }];
    });
    return found(cases, dir, '{training,testing}/patientNNN/patientNNN_frameNN{,_gt}.nii.gz');
  },
};

const SPLITS: Readonly<Record<string, SegmentationCase['split']>> = {
  train: 'train',
  val: 'validation',
  test: 'test',
};

/**
 * D'Antonoli et al. 2025: sNNNN/mri.nii.gz, sNNNN/segmentations/LABEL.nii.gz and meta.csv. The tolerance is that of the
 * authors' evaluation (surface_dice_3 of wasserthal/TotalSegmentator).
 */
export const totalsegmentatorMri: SegmentDataset = {
  kind: 'segment',
  ...published('totalsegmentator-mri'),
  title: 'TotalSegmentator MRI: structures of the whole body',
  channels: ['mri'],
  toleranceMm: 3,
  regions: [],
  async read(dir) {
    const files = await filesIn(dir);
    const rows = await tableIn(dir, files, /(^|\/)meta\.csv$/, 'meta.csv', ['image_id']);
    const byCase = new Map<string, string[]>();
    for (const file of files) {
      const id = /(?:^|\/)(s\d{4})\/segmentations\/[^/]+\.nii\.gz$/.exec(file)?.[1];
      if (id !== undefined) byCase.set(id, [...(byCase.get(id) ?? []), file]);
    }
    const cases = rows.flatMap((row): SegmentationCase[] => {
      const id = row.get('image_id')!;
      const image = files.find((file) => file === `${id}/mri.nii.gz` || file.endsWith(`/${id}/mri.nii.gz`));
      const masks = byCase.get(id) ?? [];
      if (image === undefined || masks.length === 0) return [];
      const name = (file: string): string => basename(file, '.nii.gz');
      const split = SPLITS[row.get('split') ?? ''] ?? null;
      return [
        {
          ...named(id, id),
          images: { mri: join(dir, image) },
          mask: Object.fromEntries(masks.map((file) => [name(file), join(dir, file)])),
          labels: Object.fromEntries(masks.map((file) => [name(file), 1])),
          split,
        },
      ];
    });
    return found(cases, dir, 'sNNNN/mri.nii.gz and sNNNN/segmentations/*.nii.gz');
  },
};
