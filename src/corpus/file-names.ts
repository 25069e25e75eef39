/** Whose image a NIfTI file is, as far as recognised ways of naming files and folders say. */
import { basename, dirname } from 'node:path';
import type { VolumeFormat } from '../formats/volume-files.js';
import { imagingTerms } from '../text/terms.js';

export interface Owner {
  /** Texts that together stand for the patient, to be hashed. */
  readonly patient: readonly string[];
  readonly study: readonly string[];
}

const PATIENT = /^(?:sub|subj|subject|pat|patient|pt|case|participant|person)[-_ ]?([0-9a-z]*\d[0-9a-z]*)$/i;
const STUDY = /^(?:ses|sess|session|study|visit|timepoint|tp|scan|exam)[-_ ]?([0-9a-z]+)$/i;
/** BraTS: BraTS-MET-00110-000 is time point 000 of patient 00110. */
const BRATS = /^(BraTS-[A-Za-z]+-\d{5})-(\d{3})/;

/** How the names of image files end: .nii, .hdr and .img, gzipped or not, .nrrd, .nhdr, .mgh, .mgz, .mha, .mhd. */
export const IMAGE_ENDING = /\.((nii|hdr|img)(\.gz)?|nrrd|nhdr|mgh|mgz|mgh\.gz|mha|mhd)$/i;

export type FileFormat = 'nifti' | VolumeFormat;

const FORMATS: readonly (readonly [RegExp, FileFormat])[] = [
  [/\.(nii|hdr|img)(\.gz)?$/i, 'nifti'],
  [/\.(nrrd|nhdr)$/i, 'nrrd'],
  [/\.(mgh|mgz|mgh\.gz)$/i, 'mgz'],
  [/\.(mha|mhd)$/i, 'mha'],
];

/** The format of a volume file by its name; null where it is none. */
export function fileFormat(path: string): FileFormat | null {
  return FORMATS.find(([ending]) => ending.test(path))?.[1] ?? null;
}

/** File name without its ending as an image. */
export function imageStem(path: string): string {
  return basename(path).replace(IMAGE_ENDING, '');
}

/**
 * Patient and study of the image at absolute `path`:
 *
 * 1. BIDS ("sub-01/ses-02/…", "sub-01_ses-02_T1w") and its likes ("patient01/study2_FLAIR"), with the name of the
 *    folder that holds the patients, because many data sets have a "sub-01";
 * 2. BraTS and other files named by a number beside the kind of image ("IXI002-Guys-0828-T1", "case_0007_0001");
 * 3. else the folder the file is in: everything there is one study of one patient. That may join patients, which
 *    keeps them on one side of a split, and never parts one.
 */
export function ownerOf(path: string): Owner {
  const stem = imageStem(path);
  // In an archive, the archive stands for the folder that it was packed from.
  const folders = dirname(path.replace(/(\.zip|\.tar|\.tar\.gz|\.tgz)!\//i, '/'))
    .split(/[\\/]/)
    .filter(Boolean)
    .reverse();
  const entities = stem.split('_');
  const inFolders = folders.findIndex((name) => PATIENT.test(name));
  const patient = entities.find((part) => PATIENT.test(part)) ?? folders[inFolders];
  if (patient !== undefined) {
    const among = inFolders >= 0 ? folders[inFolders + 1] : folders[0];
    const within = inFolders >= 0 ? folders.slice(0, inFolders) : [];
    const study = entities.find((part) => STUDY.test(part)) ?? within.find((name) => STUDY.test(name)) ?? '';
    return owner([among ?? '', patient.toLowerCase()], study.toLowerCase());
  }
  const brats = BRATS.exec(stem);
  if (brats !== null) return owner([folders[0] ?? '', brats[1]!], brats[2]!);
  const numbered = withoutKind(stem);
  if (/\d/.test(numbered)) return owner([folders[0] ?? '', numbered], '');
  const study = entities.find((part) => STUDY.test(part));
  if (STUDY.test(folders[0] ?? '')) return owner([folders[2] ?? '', folders[1] ?? ''], study ?? folders[0]!);
  return owner([folders[1] ?? '', folders[0] ?? ''], study ?? '');
}

const owner = (patient: readonly string[], study: string): Owner => ({ patient, study: [...patient, study] });

/** The name without what says the kind of image: vocabulary words and the channel number of nnU-Net ("_0001"). */
function withoutKind(stem: string): string {
  return stem
    .replace(/_000\d$/, '')
    .split(/[-_. ]+/)
    .filter((part) => imagingTerms(part).length === 0)
    .join(' ');
}

/** Names that may describe the image, innermost first: the file's and those of the three folders around it. */
export function describingNames(path: string): string[] {
  const folders = dirname(path).split(/[\\/]/).filter(Boolean).reverse();
  return [imageStem(path), ...folders.slice(0, 3)];
}
