/** What is done to a volume between reading and storing it: inspections, run in order. */
import type { HeaderFields } from '../text/header.js';
import { planeOf } from '../volume/orientation.js';
import type { Volume } from '../volume/volume.js';
import { zeroFilledMask } from '../volume/zero-filled.js';
import { type BurnedInHeader, burnedIn } from './deidentify/burned-in.js';
import { deface } from './deidentify/deface.js';
import { constant, noMrImage } from './label-map.js';
import type { Series } from './series.js';

/** What the inspections know of a series beside its voxels; plain data. */
export interface Inspectable {
  readonly kind: 'dicom' | 'file';
  /** Name of the image file without folder and ending; '' for DICOM. */
  readonly name: string;
  readonly fields: HeaderFields;
  /** The body part that the other series of the study agree on. */
  readonly studyBodyPart: string | null;
  readonly missingSlices: readonly number[];
  /** What a DICOM header says of text in the pixels. */
  readonly burnedIn?: BurnedInHeader;
  /** Whether it is an image of the head, and its face is to be taken out. */
  readonly deface?: boolean;
}

/** A volume on its way into the corpus, and what has been found out about it. */
export interface Inspected {
  /** Inspections may replace it: set `valid` to 0 where voxels are to go, and the voxels themselves to 0. */
  readonly volume: Volume;
  /** Why the series is left out; no later inspection sees it. */
  readonly refused: string | null;
  readonly quarantined: string | null;
  readonly defaced: boolean;
  readonly quality: Series['quality'];
}

export type Inspection = (seen: Inspected, about: Inspectable) => Inspected | Promise<Inspected>;

/** Runs the inspections until one refuses. */
export async function inspect(volume: Volume, about: Inspectable): Promise<Inspected> {
  let seen: Inspected = { volume, refused: null, quarantined: null, defaced: false, quality: null };
  for (const one of INSPECTIONS) {
    seen = await one(seen, about);
    if (seen.refused !== null) break;
  }
  return seen;
}

/** A volume that no plane can be named for has no usable geometry. */
function geometry(seen: Inspected): Inspected {
  planeOf(seen.volume.affine, seen.volume.shape);
  return seen;
}

function mrImage(seen: Inspected, { kind, name }: Inspectable): Inspected {
  return { ...seen, refused: kind === 'dicom' ? constant(seen.volume) : noMrImage(seen.volume, name) };
}

/** A series with text in its pixels is stored, but nothing uses it until a person has released it. */
function writing(seen: Inspected, about: Inspectable): Inspected {
  return { ...seen, quarantined: seen.quarantined ?? burnedIn(seen.volume, about.burnedIn) };
}

/** What was filled with zeros was not measured; see zeroFilledMask for what counts. */
function zeroFilled(seen: Inspected): Inspected {
  const mask = zeroFilledMask(seen.volume);
  if (mask === null) return seen;
  const { valid: before } = seen.volume;
  const valid = new Uint8Array(mask.length);
  for (let n = 0; n < mask.length; n++) valid[n] = mask[n] === 1 || before?.[n] === 0 ? 0 : 1;
  return { ...seen, volume: { ...seen.volume, valid } };
}

/** A head that no vault of a skull is found in keeps its face, and so may not be used before a person has looked at it. */
function faceless(seen: Inspected, about: Inspectable): Inspected {
  if (about.deface !== true) return seen;
  const result = deface(seen.volume);
  if (result === null) return { ...seen, quarantined: seen.quarantined ?? 'its face could not be taken out' };
  return { ...seen, volume: result.volume, defaced: result.removed > 0 };
}

// Writing is looked for before anything is taken out.
const INSPECTIONS: readonly Inspection[] = [mrImage, geometry, zeroFilled, writing, faceless];
