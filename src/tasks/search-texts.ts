/** The table of distinct texts of an index: sentences for an image, or for a study. */
import type { Table } from '@lancedb/lancedb';
import { allowed } from '../corpus/rights.js';
import { PROMPTS } from './prompts.js';
import type { Listed } from './search.js';
import { quoted } from './search-table.js';

export const TEXTS = 'texts';

export interface Candidate {
  readonly text: string;
  /** Cosine of the text and of what was asked for. */
  readonly score: number;
}

/** The `k` texts nearest to a unit vector, best first, but those that may not be looked at any more. */
export async function nearestTexts(
  corpus: Listed,
  table: Table,
  vector: Float32Array,
  k: number,
): Promise<Candidate[]> {
  let query = table.query().nearestTo(Array.from(vector)).distanceType('cosine').bypassVectorIndex();
  const hidden = (await hiddenTexts(corpus)).map(quoted);
  if (hidden.length > 0) query = query.where(`text NOT IN (${hidden.join(', ')})`);
  const found = (await query.select(['text', '_distance']).limit(k).toArray()) as {
    text: string;
    _distance: number;
  }[];
  return found.map(({ text, _distance }) => ({ text, score: 1 - _distance }));
}

/** Texts that only series have which may not be looked at any more. */
async function hiddenTexts(corpus: Listed): Promise<string[]> {
  const all = await corpus.list();
  const { permitted, refused } = allowed(all, 'evaluate');
  const shown = new Set([...permitted.map(({ text }) => text), ...PROMPTS]);
  const ids = new Set(refused.map(({ id }) => id));
  const texts = all.filter(({ id, text }) => ids.has(id) && !shown.has(text)).map(({ text }) => text);
  return [...new Set(texts)];
}
