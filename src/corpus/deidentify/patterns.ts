/** Forms that dates, numbers, names and addresses have in reports in English, German, French, Spanish and Italian. */
import { imagingTerms } from '../../text/terms.js';

const MONTHS =
  'jan(?:uary|uar|vier)?|feb(?:ruary|ruar|brero|braio)?|f[ée]vrier|m[aä]r(?:ch|z|s|zo)?|apr(?:il|ile)?|avril|abril|' +
  'ma[iy]|mayo|maggio|june?|juni[o]?|juin|july?|juli[o]?|juillet|giugno|luglio|aug(?:ust)?|ao[uû]t|agosto|' +
  'sept?(?:ember|embre)?|septiembre|settembre|o[ck]t(?:ober|obre|ubre)?|ottobre|nov(?:ember|embre|iembre)?|' +
  'de[cz](?:ember|embre)?|d[ée]cembre|diciembre|dicembre|enero|febrero|gennaio';

/** Words with a capital, and what stands between them in names. */
const WORD = "\\p{Lu}[\\p{L}'’-]+(?![\\p{L}'’-])";
const PARTICLE = '(?:von|van|de|del|della|da|di|dos|der|den|du|la|le|el|al|bin|ben|zu)';
/** "Okoro", "Margaret Holloway", "Holloway, Margaret", "de la Cruz"; a word before a colon is the next label. */
const NAMES =
  `(?:${PARTICLE}\\s+){0,2}(?:\\p{Lu}\\.\\s*){0,2}${WORD}(?!\\s*:)` +
  `(?:(?:\\s+|,\\s*)(?:${PARTICLE}\\s+){0,2}(?:\\p{Lu}\\.|${WORD})(?!\\s*:)){0,3}`;

const anyCase = (words: string): string =>
  words.replace(/\p{L}/gu, (letter) => `[${letter.toLowerCase()}${letter.toUpperCase()}]`);

/** What stands before a colon and a name. */
const NAME_LABELS = anyCase(
  "(?:patient(?:in|e|'s name)?|paciente|paziente|pat\\.?|name|nom|nombre|nome|vorname|nachname|pr(?:é|e)nom|apellidos?|" +
    'cognome|surname|first name|given name|family name|re|betreff|objet|asunto|oggetto|zuweiser(?:in)?|' +
    'referr(?:er|ing physician|ing doctor)|radiologist|radiologue|radiólogo|radiologo|arzt|ärztin|médecin|médico|medico|befunder)',
);
/** What a name follows without a colon. */
const BEFORE_NAME =
  '(?:[Pp]atient(?:in|e|en)?|PATIENT|[Pp]acientes?|[Pp]aziente|Pat\\.|[Nn]ée?|geb(?:\\.|orene)|n[eé]e)';
/** Capitalised words after those that are nobody's name. */
const NO_NAME =
  /^(?:Z|Zustand|Status|Male|Female|Mann|Frau|Mädchen|Junge|Var[óo]n|Mujer|Homme|Femme|Uomo|Donna|Information|History|Position\p{L}*|Motion|Movement|Data|Daten|Nr|No|ID|Name|Number|Age|Alter|Weight|Anamnese|Bewegung\p{L}*|Lagerung|Patient\p{L}*|MRI?|MRT|IRM|RM|CT|Normal|Unauff\p{L}*|Kein\p{L}*|The|This|Der|Die|Das)$/u;

const TITLE =
  '(?:Dr|Drs|Prof(?:essor|essorin|esseur|essore?)?|Mrs?|Ms|Miss|Herrn?|Frau|Fr|Hr|Mme|Mlle|Monsieur|Madame|Sra?|Sig(?:\\.ra|ra|nora?)?|Dott(?:\\.ssa|ssa|or|oressa)?|Dra|Don|Doña|Señora?|Docteur|Doctor|Doktor|Pr)';

/** Postal code and town: "10969 Berlin", "LS6 2AB". */
const TOWN =
  `(?:,?\\s*(?:\\d{5}\\s+${WORD}(?:\\s+(?:am|an der|im)\\s+${WORD})?|(?:${WORD}\\s+){1,2}[A-Z]{1,2}\\d[A-Z\\d]?\\s?\\d[A-Z]{2}\\b|` +
  `(?:${WORD}\\s*,?\\s*){1,2}[A-Z]{2}\\s+\\d{5}\\b))?`;
const LOWER = "(?:(?:de|del|du|des|la|le|les|los|las|della|dei|degli|di|d[ae]ll[ao']?|d['’]|l['’])\\s*){0,3}";

/** A whole form with the replacement that stays, or null where the match may be no name after all. */
interface Form {
  readonly pattern: RegExp;
  /** Whether the words after the label are no term of imaging and so may be a name. */
  readonly isName?: boolean;
}

const whole = (source: string, flags = 'gu'): Form => ({ pattern: new RegExp(source, flags) });

/** What must be looked for before values are cut out of it: "john@doe.example". */
const FIRST: readonly Form[] = [
  whole('[\\w.+-]+@[\\w-]+(?:\\.[\\w-]+)+'),
  whole('\\bhttps?:\\/\\/\\S+', 'giu'),
];

const FORMS: readonly Form[] = [
  // UIDs.
  whole('\\b[0-2](?:\\.\\d+){4,}\\b'),
  // Streets with their numbers and towns.
  whole(
    `\\b\\d{1,4}[a-z]?\\s+(?:${WORD}\\s+){1,3}(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Close|Way|Court|Place|Square|Grove|` +
      `Gardens|Terrace|Crescent|Boulevard|Blvd)\\b\\.?${TOWN}`,
  ),
  whole(
    `(?<!\\p{L})(?:(?:Am|An der|Auf der|Im|Zur|Zum)\\s+)?\\p{Lu}[\\p{L}-]*(?:[Ss]tra(?:ß|ss)e|[Ss]tr\\.|[Ww]eg|[Pp]latz|[Aa]llee|[Gg]asse|[Rr]ing|` +
      `[Dd]amm|[Uu]fer)\\s+\\d{1,4}\\s?[a-z]?(?![\\p{L}\\d])${TOWN}`,
  ),
  whole(
    `(?:\\b\\d{1,4}(?:\\s?(?:bis|ter))?,?\\s+)(?:rue|avenue|boulevard|place|chemin|impasse|allée|quai|cours|route)\\s+${LOWER}` +
      `${WORD}(?:[ -]${WORD}){0,3}${TOWN}`,
  ),
  whole(
    `(?<!\\p{L})(?:Calle|C\\/|Avenida|Avda\\.?|Plaza|Paseo|Camino|Carrer|Via|Viale|Piazza|Corso|Largo|Vicolo)\\s+${LOWER}${WORD}` +
      `(?:\\s+${LOWER}${WORD}){0,3},?\\s+(?:n[.ºo°]+\\s*)?\\d{1,4}[a-z]?\\b${TOWN}`,
  ),
  whole(`\\b\\d{5}\\s+${WORD}`),
  whole('\\b[A-Z]{1,2}\\d[A-Z\\d]?\\s\\d[A-Z]{2}\\b'),
  // Titles with the names after them.
  whole(`(?<!\\p{L})${TITLE}\\.?(?:[ .]+(?:med|Dr|Prof|rer|nat|${PARTICLE})\\.?)*[ .]+${NAMES}`),
  // Labels and names.
  { pattern: new RegExp(`(?<!\\p{L})${NAME_LABELS}\\s*:\\s*(${NAMES})`, 'gu'), isName: true },
  { pattern: new RegExp(`(?<!\\p{L})${BEFORE_NAME},?\\s+(${NAMES})`, 'gu'), isName: true },
  // Dates in figures: 2011-07-07, 07.07.2011, 7/7/11, 20110707, 07/2011.
  whole('\\b\\d{4}[-./]\\d{1,2}[-./]\\d{1,2}\\b'),
  whole('\\b\\d{1,2}[-./]\\d{1,2}[-./](?:\\d{4}|\\d{2})\\b'),
  whole('\\b(?:0?[1-9]|1[0-2])[/.](?:19|20)\\d{2}\\b'),
  whole('\\b(?:19|20)\\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\\d|3[01])\\b'),
  // Dates in words: 7 July 2011, July 7th, 2011, 7. Juli, 7 de julio de 2011, julio de 2011.
  whole(
    `\\b\\d{1,2}(?:st|nd|rd|th|er|\\.|º|°)?\\s+(?:of\\s+|de\\s+)?(?:${MONTHS})(?!\\p{L})\\.?(?:,?\\s+(?:de\\s+|del\\s+)?\\d{4})?`,
    'giu',
  ),
  whole(`(?<!\\p{L})(?:${MONTHS})\\.?\\s+\\d{1,2}(?:st|nd|rd|th)?(?:,?\\s+\\d{4})?\\b`, 'giu'),
  whole(`(?<!\\p{L})(?:${MONTHS})\\.?\\s+(?:de\\s+|del\\s+)?(?:19|20)\\d{2}\\b`, 'giu'),
  // Telephone numbers and other runs of seven digits or more.
  whole('(?:\\+|\\b)\\d(?:[ ()/.-]{0,3}\\d){6,}\\b'),
  // Numbers of patients, cases and orders: A-2018-55127, CR2021/33871, H7733120, FRRGPP50A70H501Z.
  whole('\\b[A-Za-z]{0,5}[-/]?(?:\\d{1,6}[-/])?\\d{5,}[A-Za-z]?\\b'),
  whole('\\b(?=[A-Z0-9]*[A-Z])(?=(?:[A-Z]*\\d){4})[A-Z0-9]{9,}\\b'),
  // Ages of 90 and above (HIPAA's safe harbour counts them as identifying).
  whole(
    '\\b(?:9\\d|1[0-2]\\d)[- ]?(?:years?|yrs?|y\\/o|yo|jahre|jährig\\w*|ans|años|anni)\\b(?:[- ]old)?',
    'giu',
  ),
];

const cut = (text: string, { pattern, isName }: Form): string =>
  isName !== true
    ? text.replace(pattern, ' ')
    : text.replace(pattern, (match: string, name: string) => {
        const [first = ''] = name.split(/[\s,]+/);
        return NO_NAME.test(first) || imagingTerms(name).length > 0 ? match : ' ';
      });

/** The text without addresses of mail and of the web. */
export const withoutAddresses = (text: string): string => FIRST.reduce(cut, text);

/** The text without what has the form of a date, a number of a person or case, a name after a title or label, or a street. */
export const withoutForms = (text: string): string => FORMS.reduce(cut, withoutAddresses(text));
