/** Measures what of a made set of report sentences is taken out, and what is taken out with it. */
import { readFileSync } from 'node:fs';

export interface Planted {
  readonly kind: string;
  readonly value: string;
}

export interface Sentence {
  readonly language: string;
  readonly set: 'dev' | 'test';
  readonly text: string;
  readonly planted: readonly Planted[];
  /** What stands around the planted values. */
  readonly rest: string;
}

const MARK = /\[(\w+):([^\]]+)\]/g;

/** The sentences of fixtures/corpus/free-text.txt. */
export function sentences(): Sentence[] {
  const file = readFileSync(new URL('../fixtures/corpus/free-text.txt', import.meta.url), 'utf8');
  return file
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, language, set, marked] = /^(\w\w) (dev|test) \| (.*)$/.exec(line)!;
      return {
        language: language!,
        set: set as Sentence['set'],
        text: marked!.replace(MARK, '$2'),
        planted: [...marked!.matchAll(MARK)].map(([, kind, value]) => ({ kind: kind!, value: value! })),
        rest: marked!.replace(MARK, ' | '),
      };
    });
}

/** Words of two letters or digits and more; titles before names say nothing of anybody. */
const wordsOf = (text: string): string[] =>
  (text.normalize('NFC').match(/[\p{L}\p{N}]{2,}/gu) ?? []).filter((word) => !TITLE.test(word));
const TITLE =
  /^(?:mrs?|ms|dr|med|md|prof(?:essor)?|frau|herr|madame|monsieur|pr|sra?|don|dott|sig|ra|signor|de|des|la|am|at)$/i;

export interface Score {
  /** Planted values of which no word is left, and all of them. */
  readonly removed: number;
  readonly planted: number;
  /** Words that were taken out: of planted values, and of anything else. */
  readonly rightWords: number;
  readonly wrongWords: number;
  /** Words of what is no planted value. */
  readonly otherWords: number;
  readonly missed: readonly string[];
  readonly lost: readonly string[];
}

/** Cleans each sentence by itself and counts. */
export function score(all: readonly Sentence[], clean: (sentence: Sentence) => string): Score {
  const missed: string[] = [];
  const lost: string[] = [];
  let [removed, planted, rightWords, wrongWords, otherWords] = [0, 0, 0, 0, 0];
  for (const sentence of all) {
    const left = new Map<string, number>();
    for (const word of wordsOf(clean(sentence))) left.set(word, (left.get(word) ?? 0) + 1);
    const take = (word: string): boolean => {
      const count = left.get(word) ?? 0;
      if (count > 0) left.set(word, count - 1);
      return count > 0;
    };
    // What is no planted value has the first claim on a word that both have.
    for (const word of wordsOf(sentence.rest)) {
      otherWords++;
      if (take(word)) continue;
      wrongWords++;
      lost.push(word);
    }
    for (const { kind, value } of sentence.planted) {
      planted++;
      const kept = wordsOf(value).filter(take);
      rightWords += wordsOf(value).length - kept.length;
      if (kept.length === 0) removed++;
      else missed.push(`${sentence.language} ${kind} ${value}`);
    }
  }
  return { removed, planted, rightWords, wrongWords, otherWords, missed, lost };
}
