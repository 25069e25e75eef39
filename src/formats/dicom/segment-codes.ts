/** Codes of what a segment shows (PS3.16 CID 7150 and 7151; SNOMED CT). */
import { createHash } from 'node:crypto';

export interface Code {
  readonly value: string;
  /** "SCT" for SNOMED CT, "99PRECESS" for names without a code here. */
  readonly scheme: string;
  readonly meaning: string;
}

const sct = (value: string, meaning: string): Code => ({ value, scheme: 'SCT', meaning });

const STRUCTURE = sct('123037004', 'Anatomical Structure');
const ALTERED = sct('49755003', 'Morphologically Altered Structure');
const TISSUE = sct('85756007', 'Tissue');

/** By the name without its side. Names that are not here get a private code rather than a wrong one. */
const CODES: Readonly<Record<string, readonly [category: Code, type: Code]>> = {
  brain: [STRUCTURE, sct('12738006', 'Brain')],
  'brain-stem': [STRUCTURE, sct('15926001', 'Brainstem')],
  brainstem: [STRUCTURE, sct('15926001', 'Brainstem')],
  'cerebral cortex': [STRUCTURE, sct('40146001', 'Cerebral cortex')],
  'lateral ventricle': [STRUCTURE, sct('66720007', 'Lateral ventricle')],
  thalamus: [STRUCTURE, sct('42695009', 'Thalamus')],
  caudate: [STRUCTURE, sct('11000004', 'Caudate nucleus')],
  putamen: [STRUCTURE, sct('89278009', 'Putamen')],
  pallidum: [STRUCTURE, sct('14738005', 'Globus pallidus')],
  hippocampus: [STRUCTURE, sct('5366008', 'Hippocampus')],
  amygdala: [STRUCTURE, sct('4958002', 'Amygdala')],
  cerebellum: [STRUCTURE, sct('113305005', 'Cerebellum')],
  liver: [STRUCTURE, sct('10200004', 'Liver')],
  spleen: [STRUCTURE, sct('78961009', 'Spleen')],
  kidney: [STRUCTURE, sct('64033007', 'Kidney')],
  pancreas: [STRUCTURE, sct('15776009', 'Pancreas')],
  stomach: [STRUCTURE, sct('69695003', 'Stomach')],
  gallbladder: [STRUCTURE, sct('28231008', 'Gallbladder')],
  'urinary bladder': [STRUCTURE, sct('89837001', 'Bladder')],
  prostate: [STRUCTURE, sct('41216001', 'Prostate')],
  aorta: [STRUCTURE, sct('15825003', 'Aorta')],
  heart: [STRUCTURE, sct('80891009', 'Heart')],
  lung: [STRUCTURE, sct('39607008', 'Lung')],
  'spinal cord': [STRUCTURE, sct('2748008', 'Spinal cord')],
  lesion: [ALTERED, sct('52988006', 'Lesion')],
};
const SIDES: Readonly<Record<string, Code>> = {
  left: sct('7771000', 'Left'),
  right: sct('24028007', 'Right'),
};

/** Category, type and side of a segment by its name, e.g. "left kidney" or "kidney_right". */
export function codesOf(name: string): { category: Code; type: Code; side: Code | null } {
  const words = name.toLowerCase().split(/[\s_]+/);
  const side = words.find((word) => Object.hasOwn(SIDES, word));
  const bare = words.filter((word) => !Object.hasOwn(SIDES, word)).join(' ');
  const found = Object.hasOwn(CODES, bare) ? CODES[bare] : undefined;
  if (found) return { category: found[0], type: found[1], side: side === undefined ? null : SIDES[side]! };
  const hash = createHash('sha256').update(name.toLowerCase()).digest('hex').slice(0, 12);
  const type: Code = { value: `L${hash}`, scheme: '99PRECESS', meaning: name };
  return { category: TISSUE, type, side: null };
}
