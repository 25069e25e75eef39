/** What a head's labels have in common with the labels of masks: by their names. */
import { EvaluateError } from './error.js';
import type { Region } from './datasets/index.js';

/** Something that truth and prediction are compared on: numbers of labels on either side. */
export interface Structure {
  readonly name: string;
  readonly truth: readonly number[];
  readonly predicted: readonly number[];
}

export interface Matched {
  readonly labels: readonly Structure[];
  readonly regions: readonly Structure[];
  /** Labels that the other side has no name for. */
  readonly onlyInMasks: readonly string[];
  readonly onlyInHead: readonly string[];
}

const SPELLINGS: readonly (readonly [RegExp, string])[] = [
  [/tumor/g, 'tumour'],
  [/\boedema\b/g, 'edema'],
];

/** The words of a name whatever their order, case and spelling: "kidney_left" is "left kidney". */
function words(name: string): string {
  const plain = SPELLINGS.reduce(
    (text, [from, to]) => text.replace(from, to),
    name.toLowerCase().replaceAll('_', ' '),
  );
  return plain
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '')
    .sort()
    .join(' ');
}

/**
 * Labels of masks beside those of a head, by names; numbers are places in `masks` and `head`, whose first names are the
 * background. A region is compared where the head has it as one label, or all labels that it is made of.
 * @throws EvaluateError when there is nothing to compare.
 */
export function matchLabels(
  masks: readonly string[],
  head: readonly string[],
  regions: readonly Region[] = [],
): Matched {
  const numberIn = (names: readonly string[], name: string): number =>
    names.findIndex((one, n) => n > 0 && words(one) === words(name));
  const labels = masks.slice(1).flatMap((name, n): Structure[] => {
    const at = numberIn(head, name);
    return at < 0 ? [] : [{ name, truth: [n + 1], predicted: [at] }];
  });
  const merged = regions.flatMap(({ name, title, of }): Structure[] => {
    const truth = of.map((one) => numberIn(masks, one));
    const whole = [title, name].map((one) => numberIn(head, one)).find((at) => at > 0);
    const parts = of.map((one) => numberIn(head, one));
    if (truth.includes(-1)) return [];
    if (whole !== undefined) return [{ name, truth, predicted: [whole] }];
    return parts.includes(-1) ? [] : [{ name, truth, predicted: parts }];
  });
  if (labels.length + merged.length === 0)
    throw new EvaluateError(
      `evaluate: a label of the head must have the name of one of the masks, but the head has ${listed(head)} and the ` +
        `masks ${listed(masks)}; fit a head with these names ("precess fit segment --labels")`,
    );
  const used = new Set([...labels, ...merged].flatMap(({ predicted }) => predicted));
  const found = new Set(labels.flatMap(({ truth }) => truth));
  return {
    labels,
    regions: merged,
    onlyInMasks: masks.filter((_, n) => n > 0 && !found.has(n)),
    onlyInHead: head.filter((_, n) => n > 0 && !used.has(n)),
  };
}

const MOST_LISTED = 8;

const listed = ([, ...names]: readonly string[]): string =>
  `${names.slice(0, MOST_LISTED).join(', ')}${names.length > MOST_LISTED ? ` and ${names.length - MOST_LISTED} more` : ''}`;
