/** Finds what a segmentation is learnt from: images with masks, or label maps. */
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { apply, spacing } from '../../volume/affine.js';
import { reorient } from '../../volume/orientation.js';
import type { Vec3, Volume } from '../../volume/volume.js';
import { TaskError } from '../error.js';
import { openImages } from '../images.js';

/** Files of one image: never stored, and named in errors only. */
export interface CaseFiles {
  /** null where images are made from the map. */
  readonly image: string | null;
  readonly map: string;
  /** Whose it is, as a hash. */
  readonly patient: string;
}

const VOLUME_FILE = /\.(nii(\.gz)?|nrrd|nhdr|mha|mhd|mgz|mgh)$/i;
const stem = (path: string): string => basename(path).replace(VOLUME_FILE, '');

/** A patient's name becomes a hash at once. */
const hashed = (name: string): string => createHash('sha256').update(name).digest('hex').slice(0, 24);

/** Who a file is of: the BIDS subject in its name, else the whole name. */
const patientOf = (path: string): string => hashed(/(sub-[A-Za-z0-9]+)/.exec(path)?.[1] ?? stem(path));

/**
 * Pairs of images and masks: a CSV file with the columns image, mask and perhaps patient (paths relative to it), or two
 * folders whose files have the same names (a mask may end in _mask, _seg, _label, _dseg or _gt).
 * @throws TaskError when there is no pair, or a file has no partner.
 */
export async function pairsOf(images: string, masks?: string, doing = 'fit segment'): Promise<CaseFiles[]> {
  const info = await stat(images).catch(() => null);
  if (info === null) throw new TaskError(`${doing}: ${images} does not exist; give a folder or a CSV file`);
  if (info.isFile()) return pairsOfTable(images, doing);
  if (masks === undefined)
    throw new TaskError(`${doing}: ${images} is a folder, so that the masks need one too; give --masks`);
  const bare = (path: string): string => stem(path).replace(/[_-](mask|seg|label|labels|dseg|gt)$/i, '');
  const byName = new Map((await volumeFiles(masks, doing)).map((path) => [bare(path), path]));
  const found = await volumeFiles(images, doing);
  const pairs = found.flatMap((image) => {
    const map = byName.get(stem(image));
    return map === undefined ? [] : [{ image, map, patient: patientOf(image) }];
  });
  if (pairs.length === 0)
    throw new TaskError(
      `${doing}: masks in ${masks} must have the names of images in ${images}, but of ${found.length} images none has ` +
        'a mask; name them alike, or give a CSV file with the columns image and mask',
    );
  return pairs;
}

async function pairsOfTable(path: string, doing: string): Promise<CaseFiles[]> {
  let rows: Record<string, string>[];
  try {
    rows = parse(await readFile(path, 'utf8'), {
      columns: true,
      bom: true,
      trim: true,
      skip_empty_lines: true,
    });
  } catch (error) {
    throw new TaskError(
      `${doing}: ${path} must be a CSV file with a header, got ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  const columns = Object.keys(rows[0] ?? {});
  if (!columns.includes('image') || !columns.includes('mask'))
    throw new TaskError(
      `${doing}: ${path} must have the columns image and mask and a row for each pair, got ${columns.join(', ') || 'no rows'}`,
    );
  const at = (file: string): string => (isAbsolute(file) ? file : join(dirname(path), file));
  return rows.map((row) => ({
    image: at(row.image!),
    map: at(row.mask!),
    patient: row.patient ? hashed(row.patient) : patientOf(row.image!),
  }));
}

/** The label maps of a folder, each a patient of its own unless its name has a BIDS subject. @throws TaskError for none. */
export async function mapsOf(folder: string): Promise<CaseFiles[]> {
  const files = await volumeFiles(folder, 'fit segment');
  if (files.length === 0)
    throw new TaskError(
      `fit segment: ${folder} must hold label maps (.nii, .nrrd, .mha, .mgz), but holds none`,
    );
  return files.map((map) => ({ image: null, map, patient: patientOf(map) }));
}

async function volumeFiles(folder: string, doing: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => {
    throw new TaskError(`${doing}: ${folder} must be a folder that can be read; check the path`);
  });
  return names
    .filter((name) => VOLUME_FILE.test(name))
    .sort()
    .map((name) => join(folder, name));
}

/** The one image of a file. @throws TaskError when there are several. */
export async function onlyVolume(path: string, doing = 'fit segment'): Promise<Volume> {
  const found: Volume[] = [];
  for await (const { volume } of openImages(path)) found.push(volume);
  if (found.length > 1)
    throw new TaskError(`${doing}: ${path} must be one image, got ${found.length}; give one series or file`);
  return found[0]!;
}

/** Corners of a mask may be so far from those of its image, in voxels. */
const OFF = 0.1;

/**
 * The mask of an image in RAS order.
 * @throws TaskError when it lies on another grid.
 */
export function maskOn(
  image: Volume,
  mask: Volume,
  names: { image: string; mask: string },
  doing = 'fit segment',
): Volume {
  const [a, b] = [reorient(image, 'RAS'), reorient(mask, 'RAS')];
  const far = a.shape.map((n) => n - 1) as unknown as Vec3;
  const least = Math.min(...spacing(a.affine));
  const apart = ([[0, 0, 0], far] as Vec3[]).map((corner) => {
    const [p, q] = [apply(a.affine, corner), apply(b.affine, corner)];
    return Math.hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]) / least;
  });
  if (a.shape.every((n, d) => n === b.shape[d]) && apart.every((voxels) => voxels <= OFF)) return b;
  throw new TaskError(
    `${doing}: a mask must lie on the grid of its image, but ${names.mask} has ${mask.shape.join('×')} voxels of ` +
      `${spacing(mask.affine)
        .map((mm) => mm.toFixed(2))
        .join('×')} mm and ${names.image} ${image.shape.join('×')} of ${spacing(image.affine)
        .map((mm) => mm.toFixed(2))
        .join('×')} mm or another place; resample the mask (nearest neighbour)`,
  );
}

/** Held-out patients: those with the smallest hashes of patient and seed, at least one of several. */
export function heldOutPatients(patients: readonly string[], seed: number, share: number): Set<string> {
  const all = [...new Set(patients)];
  if (all.length < 2 || share === 0) return new Set();
  const count = Math.min(all.length - 1, Math.max(1, Math.round(share * all.length)));
  const key = (patient: string): string => createHash('sha256').update(`${seed}:${patient}`).digest('hex');
  return new Set(all.sort((a, b) => (key(a) < key(b) ? -1 : 1)).slice(0, count));
}
