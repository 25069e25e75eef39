/** Several ways to say what a header says, with what each of them claims. */
import { bodyPart } from './body-parts.js';
import { CONTRAST_NAMES, hash32, type HeaderFacts, MAPS, millimetres } from './sentences.js';
import { FAT_SUPPRESSION_WORDS, type Plane, SEQUENCE_WORDS, wordSet } from './terms.js';

export interface Paraphrase {
  /** One sentence with a closing stop. */
  readonly text: string;
  /** What it claims, as "contrast T2w", "plane axial", …: true of an image whose own claims (claimsOf) include them all. */
  readonly claims: readonly string[];
}

/** What a row of the corpus says about its series. */
export interface DescribedSeries {
  readonly plane: Plane;
  readonly contrast: string;
  readonly bodyPart: string;
  /** Imaging terms, as in the corpus. */
  readonly description: string;
  readonly fieldStrengthT: number | null;
  readonly spacingMm: readonly [number, number, number];
}

const FAT_SUPPRESSION = wordSet(FAT_SUPPRESSION_WORDS);
const LOCALIZER = wordSet('localizer localiser localizador loc scout survey aahead');

/** The facts of a stored series: its columns, and what the terms of its description add. */
export function factsOf(series: DescribedSeries): HeaderFacts {
  const terms = series.description.split(' ').filter(Boolean);
  const family = SEQUENCE_WORDS.find(([, words]) => terms.some((term) => wordSet(words).has(term)));
  return {
    plane: series.plane,
    contrast: series.contrast,
    bodyPart: series.bodyPart,
    sequence: family?.[0] ?? null,
    fatSuppressed: terms.some((term) => FAT_SUPPRESSION.has(term)),
    fieldStrengthT: series.fieldStrengthT,
    sliceMm: Math.max(...series.spacingMm),
    threeD: terms.includes('3d'),
    bValue: null,
    localizer: terms.some((term) => LOCALIZER.has(term)),
  };
}

/** Everything that the facts say, in the form of Paraphrase.claims. A part of the body is also its wider region. */
export function claimsOf(facts: HeaderFacts): string[] {
  const part = bodyPart(facts.bodyPart);
  return [
    `plane ${facts.plane}`,
    ...(facts.contrast === 'unknown' ? [] : [`contrast ${facts.contrast}`]),
    // An image after contrast agent is a T1-weighted image too.
    ...(facts.contrast === 'T1w+C' ? ['contrast T1w'] : []),
    ...(part === undefined ? [] : [`part ${part.code}`]),
    ...(part?.within === undefined ? [] : [`part ${part.within}`]),
    ...(facts.sequence === null ? [] : [`sequence ${facts.sequence}`]),
    ...(facts.fatSuppressed ? ['fat suppressed'] : []),
    ...(facts.fieldStrengthT === null ? [] : [`field ${tesla(facts.fieldStrengthT)}`]),
    ...(facts.sliceMm === null ? [] : [`slices ${millimetres(facts.sliceMm)}`]),
    ...(facts.bValue === null ? [] : [`b ${Math.round(facts.bValue)}`]),
    ...(facts.localizer ? ['localizer'] : []),
  ];
}

const tesla = (field: number): string => String(Math.round(field * 10) / 10);

const PLANE_NAMES: Readonly<Record<Plane, readonly string[]>> = {
  axial: ['axial', 'transverse'],
  coronal: ['coronal'],
  sagittal: ['sagittal'],
  oblique: ['oblique'],
};

/** A phrase of a sentence with the claims that it makes. */
interface Phrase {
  readonly words: string;
  readonly claims: readonly string[];
}

/** Draws numbers from a seed, one after the other: FNV-1a over a counter, the same on every machine. */
function draws(seed: string): <T>(options: readonly T[]) => T {
  let count = 0;
  return (options) => options[hash32(`${seed}/${count++}`) % options.length]!;
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** One wording; `pick` decides between names, order and what is left out. */
function wording(facts: HeaderFacts, pick: <T>(options: readonly T[]) => T): Paraphrase {
  const part = bodyPart(facts.bodyPart);
  const names = CONTRAST_NAMES[facts.contrast];
  const plane: Phrase = { words: pick(PLANE_NAMES[facts.plane]), claims: [`plane ${facts.plane}`] };
  const contrast: Phrase =
    names === undefined
      ? { words: '', claims: [] }
      : { words: pick(names), claims: [`contrast ${facts.contrast}`] };
  const where: Phrase =
    part === undefined
      ? { words: '', claims: [] }
      : { words: pick(part.names), claims: [`part ${part.code}`] };
  const map = MAPS.has(facts.contrast);
  const noun = map ? 'map' : facts.localizer ? 'localizer' : pick(['image', 'scan', 'series', 'MRI']);
  const kind = facts.localizer && !map ? ['localizer'] : [];

  const details: Phrase[] = [];
  const say = (words: string, claim: string): void => {
    // Half of the details, so that short descriptions occur as often as long ones.
    if (pick([true, false])) details.push({ words, claims: [claim] });
  };
  if (facts.sequence !== null && !map) say(facts.sequence, `sequence ${facts.sequence}`);
  if (facts.fatSuppressed && !map)
    say(pick(['fat-suppressed', 'with fat suppression', 'fat-saturated']), 'fat suppressed');
  if (facts.bValue !== null && facts.contrast === 'DWI')
    say(`b = ${Math.round(facts.bValue)} s/mm²`, `b ${Math.round(facts.bValue)}`);
  if (facts.fieldStrengthT !== null) {
    const field = tesla(facts.fieldStrengthT);
    say(pick([`${field} T`, `at ${field} tesla`, `field strength ${field} T`]), `field ${field}`);
  }
  if (facts.sliceMm !== null) {
    const mm = millimetres(facts.sliceMm);
    say(pick([`${mm} mm slices`, `slices ${mm} mm apart`]), `slices ${mm}`);
  }

  const ofPart = where.words === '' ? '' : ` of the ${where.words}`;
  const adjective = [plane.words, contrast.words].filter(Boolean).join(' ');
  const [head, main] = pick<readonly [string, readonly Phrase[]]>([
    [`${adjective} ${noun}${ofPart}`, [plane, contrast, where]],
    [`${where.words} MRI, ${adjective}`.trim(), [plane, contrast, where]],
    [`${contrast.words} ${noun}${ofPart} in the ${plane.words} plane`.trim(), [plane, contrast, where]],
    [`MRI${ofPart}: ${adjective}`, [plane, contrast, where]],
    [`${contrast.words} ${noun}${ofPart}`.trim(), [contrast, where]],
    [`${plane.words} ${noun}${ofPart}`, [plane, where]],
    [
      `this is ${/^[aeio]/.test(adjective) ? 'an' : 'a'} ${adjective} ${noun}${ofPart}`,
      [plane, contrast, where],
    ],
  ]);
  const saysNoun = !head.includes(' MRI,') && !head.startsWith('MRI');
  return {
    text: `${capital([head, ...details.map(({ words }) => words)].join(', '))}.`,
    claims: [...[...main, ...details].flatMap(({ claims }) => claims), ...(saysNoun ? kind : [])],
  };
}

/**
 * Up to `n` different wordings of the facts, the same for the same (facts, n, seed) on every machine; fewer where the
 * facts are so few that there are no more. None says what the facts do not.
 */
export function paraphrases(facts: HeaderFacts, n: number, seed: string | number): Paraphrase[] {
  const found = new Map<string, Paraphrase>();
  for (let attempt = 0; found.size < n && attempt < 20 * n; attempt++) {
    const one = wording(facts, draws(`${seed}/${attempt}`));
    if (!found.has(one.text)) found.set(one.text, one);
  }
  return [...found.values()];
}
