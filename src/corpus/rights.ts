/** What may be done with a series. */
import { CorpusError } from './error.js';
import type { Series } from './series.js';

export type Rights = Series['rights'];

export const USES = ['train', 'evaluate', 'share-weights', 'serve'] as const;

/**
 * Without --rights: nothing is known of the licence, and whoever runs the command may train and evaluate with their
 * own data on their own machine; nothing made of it may leave the machine.
 */
export const DEFAULT_RIGHTS: Rights = {
  licence: 'unspecified',
  use: ['train', 'evaluate'],
  reference: null,
  expires: null,
  attribution: null,
};

/**
 * Reads "LICENCE:use,use", for instance "CC BY 4.0:train,evaluate,share-weights,serve".
 *
 * @throws CorpusError for another form or an unknown use.
 */
export function parseRights(text: string): Rights {
  const at = text.lastIndexOf(':');
  const licence = text.slice(0, Math.max(at, 0)).trim();
  const use = text
    .slice(at + 1)
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '');
  const unknown = use.filter((word) => !(USES as readonly string[]).includes(word));
  if (at < 0 || licence === '' || use.length === 0 || unknown.length > 0)
    throw new CorpusError(
      `rights: must be "LICENCE:use,use" with uses of ${USES.join(', ')}, got "${text}"; write for instance ` +
        '"CC BY 4.0:train,evaluate"',
    );
  return { licence, use: [...new Set(use)], reference: null, expires: null, attribution: null };
}
