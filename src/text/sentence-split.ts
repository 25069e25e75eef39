/** Splits a report into sentences: abbreviations, decimals, enumerations and wrapped lines are what it is about. */

/** Written with a full stop inside a sentence; lower case, without their last stop. */
const ABBREVIATIONS = new Set(
  // English
  (
    'approx dr mr mrs ms prof vs fig figs nos pt pts dept st incl excl max min avg ser im img cf ca viz resp temp ref vol ' +
    'ant post sup inf lat med dist prox diam ' +
    // German
    'bzw ggf evtl inkl exkl zirka sog usw nr abb vgl re li bds beidseits med rez path pathol physiol links rechts insb max ' +
    'mind lig artt art bes allg gem rad vorbek unauff regelr degen neg pos u.u z.n v.a z.b d.h u.a o.g i.v ' +
    's.o s.u m.e i.m a.e o.b.d.a ' +
    // French, Spanish, Italian, Dutch
    'env p.ex ex cad m.d dt aprox dcha izq izda der dx sx sn circa sec bil i.e e.g o.a d.w.z m.n bijv evt resp li re vgl ' +
    'dhr mevr dra sra dott sig rm mdc'
  ).split(' '),
);
/** Before an ordinal: "am 3. Lendenwirbel". */
const BEFORE_ORDINAL = new Set('am im der die das des dem den zum vom beim ab bis und'.split(' '));

/** "1." "2)" "a)" "-" "•" at the start of an item. */
const MARKER = /^\s*(?:(?:\(?\d{1,2}[.)]|[a-h]\))\s+|[-–*•·]\s+)/;
const ITEM = /^\s*(?:\(?\d{1,2}[.)]\s+\S|[a-h]\)\s+\S|[-–*•·]\s+\S)/;

/** Joins lines that a margin has broken; a line ends where its sentence does, or before the margin. */
function paragraphs(text: string): string[] {
  const lines = text.replace(/\r\n?/g, '\n').split('\n');
  const margin = Math.max(...lines.map((line) => line.trimEnd().length));
  const found: string[] = [];
  let open = false;
  for (const [at, raw] of lines.entries()) {
    const line = raw.trim();
    if (line === '') {
      open = false;
      continue;
    }
    const before = lines[at - 1]?.trimEnd() ?? '';
    // A margin breaks a line only where the next word does not fit.
    const fits = before.length + 1 + /^\S*/.exec(line)![0].length <= margin;
    if (!open || ITEM.test(line) || /[.!?:]$/.test(before) || (fits && /^\p{Lu}/u.test(line)))
      found.push(line);
    else found[found.length - 1] = `${found[found.length - 1]!} ${line}`;
    open = true;
  }
  return found;
}

/** Whether the stop at `at` in `text` ends a sentence, given that white space and a capital or figure follow. */
function ends(text: string, at: number): boolean {
  if (text[at] !== '.') return true;
  const before = /[^\s(]*$/.exec(text.slice(0, at))![0];
  const word = before.toLowerCase();
  const earlier = text.slice(0, at - before.length).trimEnd();
  // After a figure it is a unit ("20 min."), which may end a sentence.
  if (ABBREVIATIONS.has(word) && !/\d$/.test(earlier)) return false;
  if (/^(?:Aa|Mm|Nn|Rr|Vv)$/.test(before)) return false;
  // Initials ("J.", "z. B.") and the Latin A., V., N., M. of anatomy.
  if (/^\p{L}$/u.test(before) || /^(?:\p{L}\.)+\p{L}$/u.test(before)) return false;
  if (/^\d{1,2}$/.test(before)) {
    if (earlier === '') return false;
    if (BEFORE_ORDINAL.has(/\S*$/.exec(earlier)![0].toLowerCase())) return false;
    // A number that begins an item of a list in running text: "… oedema. 2. No fracture."
    if (/[.!?;:]$/.test(earlier)) return false;
  }
  return true;
}

/**
 * The sentences of a text, list markers taken off, white space made single. A stop ends a sentence where white space
 * and a capital, a figure or a bracket follow, except after abbreviations, initials and German ordinals.
 */
export function sentencesOf(text: string): string[] {
  const found: string[] = [];
  for (const paragraph of paragraphs(text)) {
    const body = paragraph.replace(MARKER, '');
    let start = 0;
    for (const match of body.matchAll(/[.!?]+["”»)]*\s+(?=["“«(¿¡]?[\p{Lu}\d])|;\s+(?=\d{1,2}[.)]\s)/gu)) {
      if (match[0].startsWith(';') || ends(body, match.index)) {
        found.push(body.slice(start, match.index + match[0].length));
        start = match.index + match[0].length;
      }
    }
    found.push(body.slice(start));
  }
  return found
    .map((sentence) => sentence.replace(MARKER, '').replace(/\s+/g, ' ').trim())
    .filter((sentence) => /\p{L}/u.test(sentence));
}
