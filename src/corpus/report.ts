/** Takes what identifies a person out of a report. */
import { fold } from '../text/terms.js';

const LONGEST = 4000;

const MONTHS =
  'jan(?:uary|uar|vier)?|feb(?:ruary|ruar)?|f[ée]vrier|m[aä]r(?:ch|z|s)?|apr(?:il)?|avril|ma[iy]|june?|juni|juin|july?|' +
  'juli|juillet|aug(?:ust)?|ao[uû]t|sept?(?:ember)?|septembre|o[ck]t(?:ober|obre)?|nov(?:ember|embre)?|' +
  'de[cz](?:ember|embre)?|d[ée]cembre|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre';

/** Replaced by nothing wherever they occur. */
const PATTERNS: readonly RegExp[] = [
  // Titles with the names after them.
  /(?<!\p{L})(?:Dr|Drs|Prof|Mr|Mrs|Ms|Miss|Herrn?|Frau|Fr|Hr|Mme|Mlle|Monsieur|Madame|Sr|Sra|Dott|Dra?)\.?(?:[ .]+(?:med|Dr|Prof|von|van|de|der|den|la|le)\.?)*(?:[ .]+\p{Lu}[\p{L}'’.-]*){1,3}/gu,
  /[\w.+-]+@[\w-]+(?:\.[\w-]+)+/g,
  /\bhttps?:\/\/\S+/gi,
  // UIDs.
  /\b[0-2](?:\.\d+){4,}\b/g,
  // Dates in figures: 2011-07-07, 07.07.2011, 7/7/11, 20110707.
  /\b\d{4}[-./]\d{1,2}[-./]\d{1,2}\b/g,
  /\b\d{1,2}[-./]\d{1,2}[-./](?:\d{4}|\d{2})\b/g,
  /\b(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\b/g,
  // Dates in words: 7 July 2011, July 7th, 2011, 7. Juli.
  new RegExp(`\\b\\d{1,2}(?:st|nd|rd|th|\\.)?\\s+(?:of\\s+)?(?:${MONTHS})\\b\\.?(?:,?\\s+\\d{4})?`, 'giu'),
  new RegExp(`\\b(?:${MONTHS})\\.?\\s+\\d{1,2}(?:st|nd|rd|th)?(?:,?\\s+\\d{4})?\\b`, 'giu'),
  new RegExp(`\\b(?:${MONTHS})\\.?\\s+(?:19|20)\\d{2}\\b`, 'giu'),
  // Telephone numbers and other runs of seven digits or more.
  /(?:\+|\b)\d(?:[ ()/-]{0,3}\d){6,}\b/g,
  /\b(?=[A-Za-z-]*\d)[A-Za-z]{0,4}-?\d{5,}[A-Za-z]?\b/g,
  // Ages of 90 and above (HIPAA's safe harbour counts them as identifying).
  /\b(?:9\d|1[0-2]\d)[- ]?(?:years?|yrs?|y\/o|yo|jahre|jährig\w*|ans|años)\b(?:[- ]old)?/giu,
];

/** A sentence about who wrote or asked for the report is dropped as a whole. */
const ABOUT_PEOPLE =
  /\b(?:signed|dictated|transcribed|referr(?:ed|ing)|requested|reported|reviewed|discussed|verified|approved|electronically)\b.*\b(?:by|with|physician|radiologist)\b/i;

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
  let clean = withoutValues(text.slice(0, LONGEST * 2), identifying);
  for (const pattern of PATTERNS) clean = clean.replace(pattern, ' ');
  const sentences = clean
    .split(SENTENCE_END)
    .filter((sentence) => !ABOUT_PEOPLE.test(sentence))
    .map(tidy)
    .filter((sentence) => /\p{L}{2,}/u.test(sentence));
  const joined = sentences.join(' ').slice(0, LONGEST);
  return (joined.match(/\p{L}{2,}/gu) ?? []).length >= fewest ? joined : '';
}

/** A text without identifying values and without what has the form of one; nothing else is changed. */
export function withoutIdentifying(text: string, identifying: readonly string[]): string {
  let clean = withoutValues(text, identifying);
  for (const pattern of PATTERNS) clean = clean.replace(pattern, ' ');
  return clean;
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
