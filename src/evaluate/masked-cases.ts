/** Images with masks, of a public set or of a user's own, in the numbers of one list of names. */
import {
  labelTable,
  maskOn,
  numbersOf,
  onlyVolume,
  valuesOf,
  type CaseFiles,
  type LabelTable,
} from '../tasks/segment/index.js';
import { reorient } from '../volume/orientation.js';
import type { Volume } from '../volume/volume.js';
import type { Part, SegmentationCase } from './datasets/index.js';
import { EvaluateError } from './error.js';
import type { Masked, MaskedCase } from './segment-suite.js';

const DOING = 'evaluate';

/** The names of the labels of all cases, after the background. */
export function namesOf(cases: readonly SegmentationCase[]): string[] {
  return ['background', ...new Set(cases.flatMap(({ labels }) => Object.keys(labels)))];
}

/**
 * The cases of a part of the published split; all of a set that has none.
 * @throws EvaluateError when there is no such case.
 */
export function casesOf(cases: readonly SegmentationCase[], part: Part): SegmentationCase[] {
  if (part === 'all' || cases.every(({ split }) => split === null)) return [...cases];
  const own = cases.filter(({ split }) => split === part);
  if (own.length === 0)
    throw new EvaluateError(
      `evaluate: of ${cases.length} cases one must be of the part "${part}", but none is; name another with --part, or "all"`,
    );
  return own;
}

/**
 * The image to measure on: `asked`, or the first of `channels` that any case has.
 * @throws EvaluateError when no case has it.
 */
export function channelOf(
  cases: readonly SegmentationCase[],
  channels: readonly string[],
  asked?: string,
): string {
  const there = [...new Set(cases.flatMap(({ images }) => Object.keys(images)))];
  const channel = asked ?? channels.find((one) => there.includes(one));
  if (channel !== undefined && there.includes(channel)) return channel;
  throw new EvaluateError(
    `evaluate: a case must have the channel ${asked ?? channels.join(' or ')}, but there are ${there.join(', ') || 'none'}; ` +
      'name one of these with --channel',
  );
}

/** A case of a public set: a map of values, or a mask for each label, of which later names hide earlier ones. */
export function publicCase(
  { patientId, images, mask, labels, lesions }: SegmentationCase,
  channel: string,
  names: readonly string[],
): MaskedCase {
  const image = images[channel]!;
  return {
    patientId,
    ...(lesions && { lesions }),
    image: () => onlyVolume(image, DOING),
    masked: async (volume) => {
      const known = new Set(Object.keys(labels).map((name) => names.indexOf(name)));
      const numbers = new Uint8Array(volume.data.length);
      const masks =
        typeof mask === 'string'
          ? [{ path: mask, labels }]
          : Object.entries(mask).map(([name, path]) => ({ path, labels: { [name]: labels[name]! } }));
      for (const { path, labels: own } of masks) {
        const entries = Object.entries(own);
        const table = labelTable(Object.fromEntries(entries.map(([name, value]) => [name, [value]])));
        const found = await numbersAt(volume, { image, map: path }, table);
        for (let n = 0; n < found.length; n++)
          if (found[n]! > 0) numbers[n] = names.indexOf(entries[found[n]! - 1]![0]);
      }
      return { volume: reorient(volume, 'RAS'), numbers, known };
    },
  };
}

/** An image of the user's own, with a map of the values of `table`. */
export function ownCase({ image, map, patient }: CaseFiles, table: LabelTable): MaskedCase {
  return {
    patientId: patient,
    image: () => onlyVolume(image!, DOING),
    masked: async (volume): Promise<Masked> => ({
      volume: reorient(volume, 'RAS'),
      numbers: await numbersAt(volume, { image: image!, map }, table),
    }),
  };
}

async function numbersAt(
  volume: Volume,
  { image, map }: { readonly image: string; readonly map: string },
  table: LabelTable,
): Promise<Uint8Array> {
  const mask = maskOn(volume, await onlyVolume(map, DOING), { image, mask: map }, DOING);
  valuesOf(mask);
  return numbersOf(mask, table);
}
