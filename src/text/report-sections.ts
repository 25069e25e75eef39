/** Takes a radiology report apart: findings, impression and the rest, by headings in six languages. */

export interface ReportSections {
  readonly findings: string;
  readonly impression: string;
  /** History, indication, technique, comparison, recommendations: what is said besides the image. */
  readonly other: string;
}

export type SectionKind = keyof ReportSections;

/** Headings, accents removed, in English, German, French, Spanish, Italian and Dutch. */
const HEADINGS: Readonly<Record<SectionKind, readonly string[]>> = {
  findings: [
    ...[
      'findings',
      'finding',
      'imaging findings',
      'mri findings',
      'mr findings',
      'observations',
      'results',
      'result',
    ],
    ...['description', 'report', 'body of report', 'narrative'],
    ...[
      'befund',
      'befunde',
      'mrt-befund',
      'mr-befund',
      'bildbefund',
      'radiologischer befund',
      'beschreibung',
      'befundung',
    ],
    ...['resultats', 'resultat', 'constatations', 'compte rendu', 'compte-rendu', 'analyse'],
    ...['hallazgos', 'hallazgos radiologicos', 'resultados', 'descripcion', 'informe', 'informe radiologico'],
    ...['reperti', 'reperto', 'referto', 'risultati', 'risultato', 'descrizione', "descrizione dell'esame"],
    ...['bevindingen', 'bevinding', 'verslag', 'beschrijving', 'resultaten'],
  ],
  impression: [
    ...[
      'impression',
      'impressions',
      'conclusion',
      'conclusions',
      'summary',
      'opinion',
      'assessment',
      'in summary',
    ],
    ...[
      'final impression',
      'diagnosis',
      'interpretation',
      'impression and recommendations',
      'impression/recommendation',
    ],
    ...[
      'beurteilung',
      'zusammenfassung',
      'fazit',
      'zusammenfassende beurteilung',
      'diagnose',
      'ergebnis',
      'bewertung',
    ],
    ...['au total', 'synthese', 'avis', 'en conclusion', 'en synthese', 'interpretation'],
    ...[
      'impresion',
      'impresion diagnostica',
      'conclusion diagnostica',
      'conclusiones',
      'diagnostico',
      'juicio diagnostico',
    ],
    ...[
      'conclusioni',
      'conclusione',
      'impressione',
      'impressione diagnostica',
      'diagnosi',
      'giudizio diagnostico',
    ],
    ...['conclusie', 'conclusies', 'impressie', 'samenvatting', 'beoordeling', 'besluit'],
  ],
  other: [
    ...[
      'history',
      'clinical history',
      'clinical information',
      'clinical indication',
      'clinical details',
      'indication',
    ],
    ...[
      'indications',
      'reason for exam',
      'reason for study',
      'reason for examination',
      'technique',
      'protocol',
      'procedure',
    ],
    ...[
      'exam',
      'examination',
      'study',
      'comparison',
      'comparisons',
      'prior studies',
      'contrast',
      'recommendation',
    ],
    ...[
      'recommendations',
      'addendum',
      'comment',
      'sequences',
      'question',
      'clinical question',
      'limitations',
    ],
    ...[
      'anamnese',
      'klinische angaben',
      'klinik',
      'fragestellung',
      'indikation',
      'rechtfertigende indikation',
      'technik',
    ],
    ...[
      'untersuchungstechnik',
      'untersuchung',
      'methode',
      'methodik',
      'vergleich',
      'voruntersuchung',
      'voraufnahmen',
    ],
    ...[
      'voruntersuchungen',
      'empfehlung',
      'empfehlungen',
      'kontrastmittel',
      'klinische fragestellung',
      'nachtrag',
    ],
    ...[
      'antecedents',
      'renseignements cliniques',
      'motif',
      "motif de l'examen",
      'protocole',
      'comparaison',
      'examen',
    ],
    ...[
      'recommandation',
      'recommandations',
      'histoire clinique',
      'contexte',
      'contexte clinique',
      'commentaire',
    ],
    ...[
      'tecnica',
      'indicacion',
      'indicaciones',
      'comparacion',
      'antecedentes',
      'motivo',
      'datos clinicos',
      'protocolo',
    ],
    ...[
      'recomendacion',
      'recomendaciones',
      'estudio',
      'exploracion',
      'informacion clinica',
      'motivo de consulta',
    ],
    ...[
      'indicazione',
      'indicazioni',
      'quesito clinico',
      'quesito diagnostico',
      'quesito',
      'confronto',
      'anamnesi',
      'esame',
    ],
    ...['tecnica di esame', "tecnica d'esame", 'metodica', 'notizie cliniche', 'raccomandazioni'],
    ...[
      'techniek',
      'indicatie',
      'klinische gegevens',
      'vraagstelling',
      'vergelijking',
      'advies',
      'onderzoek',
      'protocol',
    ],
  ],
};

const plain = (text: string): string =>
  text
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
    .replace(/[’`]/g, "'")
    .replace(/\s+/g, ' ')
    .toLowerCase()
    .trim();

const KIND_OF = new Map<string, SectionKind>();
// "Interpretation" and the like stand in more than one language; findings come first, then impression.
for (const kind of ['findings', 'impression', 'other'] as const)
  for (const heading of HEADINGS[kind]) if (!KIND_OF.has(heading)) KIND_OF.set(heading, kind);

/** What a heading announces, in any of the languages; null for a text that is none. */
export function sectionOf(heading: string): SectionKind | null {
  return KIND_OF.get(plain(heading).replace(/\s*[:.]$/, '')) ?? null;
}

interface Heading {
  readonly kind: SectionKind;
  readonly start: number;
  /** Where the section's own text begins. */
  readonly end: number;
}

/** At most five words before a colon; or a line of its own. A dash is as good as a colon after capitals. */
const WITH_COLON = /(^|[\n.;]\s*|\s{2,})((?:[\p{L}'’/-]+[ \t]+){0,4}[\p{L}'’/-]+)[ \t]*:/gu;
const OWN_LINE = /^[ \t*#_]*((?:[\p{L}'’/-]+[ \t]+){0,4}[\p{L}'’/-]+)[ \t*_]*$/gmu;
const CAPITALS = /(^|[\n.;]\s*)(\p{Lu}[\p{Lu}'’/ ]{3,40})[ \t]*[-–—][ \t]/gu;

function headingsOf(text: string): Heading[] {
  const found: Heading[] = [];
  const add = (words: string, start: number, end: number): void => {
    const kind = sectionOf(words);
    if (kind !== null) found.push({ kind, start, end });
  };
  for (const match of text.matchAll(WITH_COLON))
    add(match[2]!, match.index + match[1]!.length, match.index + match[0].length);
  for (const match of text.matchAll(CAPITALS))
    add(match[2]!.trim(), match.index + match[1]!.length, match.index + match[0].length);
  for (const match of text.matchAll(OWN_LINE)) add(match[1]!, match.index, match.index + match[0].length);
  found.sort((a, b) => a.start - b.start || b.end - a.end);
  return found.filter((one, at) => at === 0 || one.start >= found[at - 1]!.end);
}

/** Whether a text has headings of a report. */
export function hasHeadings(text: string): boolean {
  return headingsOf(text).length > 0;
}

/**
 * Splits a report at its headings ("FINDINGS:", "Beurteilung", "RÉSULTATS :"). Text before the first heading is findings
 * where no heading announces them, else other. A report without headings is findings as a whole.
 */
export function splitReport(report: string): ReportSections {
  const text = report.replace(/\r\n?/g, '\n');
  const headings = headingsOf(text);
  const parts: Record<SectionKind, string[]> = { findings: [], impression: [], other: [] };
  const before = text.slice(0, headings[0]?.start ?? text.length).trim();
  const announced = headings.some(({ kind }) => kind === 'findings');
  if (before !== '') parts[announced ? 'other' : 'findings'].push(before);
  headings.forEach(({ kind, end }, at) => {
    const section = text.slice(end, headings[at + 1]?.start ?? text.length).trim();
    if (section !== '') parts[kind].push(section);
  });
  return {
    findings: parts.findings.join('\n'),
    impression: parts.impression.join('\n'),
    other: parts.other.join('\n'),
  };
}
