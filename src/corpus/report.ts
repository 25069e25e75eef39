/** Takes what identifies a person out of a report. */
import { fold } from '../text/terms.js';
import { withoutAddresses, withoutForms } from './deidentify/patterns.js';

const LONGEST = 4000;

/** A sentence about who wrote or asked for the report is dropped as a whole. */
const ABOUT_PEOPLE =
  /\b(?:signed|dictated|transcribed|referr(?:ed|ing)|requested|reported|reviewed|discussed|verified|approved|electronically)\b.*\b(?:by|with|physician|radiologist)\b|\b(?:gez|unterschrieben|signiert|freigegeben|befundet|diktiert)\b.*\b(?:von|durch|am)\b|\b(?:signé|validé|dicté)e?\s+(?:\p{L}+\s+)?par\b|\b(?:firmado|validado|dictado)\s+(?:\p{L}+\s+)?por\b|\b(?:firmato|validato|refertato)\s+(?:\p{L}+\s+)?da/iu;

/** Not after an initial: "signed by J. Doe" is one sentence. */
const SENTENCE_END = /(?<=[.!?;])(?<!(?:^|[\s.])\p{Lu}\.)\s+|[\r\n]+/u;

/**
 * A report (or comment) without the identifying values of its own file and without anything that has the form of a
 * date, a telephone number, an identifier or a titled name. `identifying` is what the file says of the person; a
 * value is found whatever its case and accents, as whole words.
 *
 * What is none of these passes: a name in running text that no header field repeats and no title precedes is not
 * recognised. Returns '' when fewer than `fewest` words are left.
 */
export function cleanReport(text: string, identifying: readonly string[], fewest = 3): string {
  const sentences = withoutIdentifying(text.slice(0, LONGEST * 2), identifying)
    .split(SENTENCE_END)
    .filter((sentence) => !ABOUT_PEOPLE.test(sentence))
    .map(tidy)
    .filter((sentence) => /\p{L}{2,}/u.test(sentence));
  const joined = sentences.join(' ').slice(0, LONGEST);
  return (joined.match(/\p{L}{2,}/gu) ?? []).length >= fewest ? joined : '';
}

/** A text without identifying values and without what has the form of one; nothing else is changed. */
export function withoutIdentifying(text: string, identifying: readonly string[]): string {
  // A name that is cut out of an address would leave one that is none.
  return withoutForms(withoutValues(withoutAddresses(text), identifying));
}

/** Cuts every occurrence of the values out of the text. */
function withoutValues(text: string, identifying: readonly string[]): string {
  // Folding may change the length of a character (ß), so each folded one remembers where it came from.
  let folded = '';
  const origin: number[] = [];
  for (let at = 0; at < text.length; at++) {
    const here = fold(text.charAt(at));
    folded += here;
    for (let n = 0; n < here.length; n++) origin.push(at);
  }
  const cut = new Uint8Array(text.length);
  for (const value of searchable(identifying)) {
    for (let at = folded.indexOf(value); at >= 0; at = folded.indexOf(value, at + 1)) {
      const end = at + value.length;
      const inWord = /[\p{L}\p{N}]/u.test(folded[at - 1] ?? ' ') || /[\p{L}\p{N}]/u.test(folded[end] ?? ' ');
      if (!inWord) cut.fill(1, origin[at], origin[end - 1]! + 1);
    }
  }
  return [...cut].map((removed, at) => (removed ? '' : text.charAt(at))).join('');
}

/** Folded values worth looking for: a single letter or a number of two digits says nothing and occurs everywhere. */
function searchable(identifying: readonly string[]): string[] {
  const values = new Set<string>();
  for (const value of identifying) {
    const parts = value.includes('^') ? [value, ...value.split(/[\^= ]+/)] : [value];
    for (const part of [...parts, value.replace(/[\^=]+/g, ' ')]) {
      const plain = fold(part).trim();
      if (plain.length >= 3 || /^\p{L}{2}$/u.test(plain)) values.add(plain);
    }
  }
  return [...values].sort((a, b) => b.length - a.length);
}

function tidy(sentence: string): string {
  return sentence
    .replace(/\(\s*\)|\[\s*\]/g, ' ')
    .replace(/\s+/g, ' ')
    .replace(/\s+([,.;:!?)])/g, '$1')
    .replace(/([,;:])(?=[,.;:])/g, '')
    .replace(/^[\s,;:.)-]+/, '')
    .trim();
}
