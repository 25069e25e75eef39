/** Labels by words. */
import { TaskError } from '../error.js';

/** Words that departments use for one another; the first is what others are turned into. */
const SAME: readonly (readonly string[])[] = [
  ['cerebral', 'cerebrum', 'hemispheric'],
  ['cerebellum', 'cerebellar'],
  ['brainstem', 'brain-stem', 'stem'],
  ['csf', 'cerebrospinal', 'liquor'],
  ['cortex', 'cortical'],
  ['bladder', 'vesica'],
  ['lesion', 'lesions', 'plaque'],
];
const FILLING = new Set(['the', 'of', 'and', 'a', 'an', 'in', 'both', 'all', 'region', 'fluid']);

function wordsOf(text: string): string[] {
  return text
    .toLowerCase()
    .split(/[^a-z0-9-]+/)
    .filter((word) => word !== '' && !FILLING.has(word))
    .map((word) => SAME.find((group) => group.includes(word))?.[0] ?? singular(word));
}

function singular(word: string): string {
  if (/(ss|us|is|as)$/.test(word) || word.length < 4) return word;
  if (word.endsWith('ies')) return `${word.slice(0, -3)}y`;
  if (/(xes|ches|shes)$/.test(word)) return word.slice(0, -2);
  return word.endsWith('s') ? word.slice(0, -1) : word;
}

/**
 * The labels whose names hold all words of the phrase ("ventricles": lateral ventricle, third and fourth ventricle), or all
 * of whose words the phrase holds. This compares words; it understands nothing that is not in a name.
 * @throws TaskError naming the labels when none does.
 */
export function labelsNamed(phrase: string, names: readonly string[]): number[] {
  const asked = wordsOf(phrase);
  if (asked.length === 0) throw new TaskError('segment: --text is empty; name a structure');
  const found = names.flatMap((name, n) => {
    if (n === 0) return [];
    const words = wordsOf(name);
    const covers = (a: readonly string[], b: readonly string[]): boolean =>
      b.every((word) => a.includes(word));
    return covers(words, asked) || covers(asked, words) ? [n] : [];
  });
  if (found.length > 0) return found;
  throw new TaskError(
    `segment: no label of the head is named "${phrase}"; it tells apart ${names.slice(1).join(', ')} ` +
      '("precess ground" shows where a phrase may be without a head, at the size of a token)',
  );
}
