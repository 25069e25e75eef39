/** Which report belongs to which study. */
import { basename } from 'node:path';
import { imageStem } from '../file-names.js';
import { CorpusError } from '../error.js';
import type { FoundReport, SkippedReport } from './found.js';

/** What a study can be recognised by; original identifiers, in memory only. */
export interface StudyKeys {
  /** The study's name in the corpus. */
  readonly studyId: string;
  readonly accession: string;
  readonly studyUid: string;
  readonly patient: string;
  /** YYYYMMDD, or ''. */
  readonly date: string;
  /** Absolute paths of (some) images of it. */
  readonly paths: readonly string[];
}

export type MatchRule =
  { readonly by: 'accession' | 'study' | 'patient' } | { readonly by: 'path'; readonly template: string };

/** Reports that found their study, and those that did not. */
export interface Matched {
  /** studyId → its report. */
  readonly byStudy: ReadonlyMap<string, FoundReport>;
  readonly unmatched: readonly SkippedReport[];
  readonly ambiguous: readonly SkippedReport[];
}

export const DEFAULT_RULES: readonly MatchRule[] = [
  { by: 'accession' },
  { by: 'study' },
  { by: 'patient' },
  { by: 'path', template: '{stem}' },
];

/**
 * Reads "accession,study" or "path:{folder}/{stem}": rules in the order in which they are tried.
 *
 * @throws CorpusError naming the rules.
 */
export function parseRules(text: string): MatchRule[] {
  return text.split(',').map((word) => {
    const rule = word.trim();
    if (rule === 'accession' || rule === 'study' || rule === 'patient') return { by: rule };
    const template = /^path:(.+)$/.exec(rule)?.[1];
    const known = template?.replace(/\{(?:stem|folder|folder2|folder3)\}/g, '');
    if (template !== undefined && known !== undefined && known !== template && !/[{}]/.test(known))
      return { by: 'path', template };
    throw new CorpusError(
      `reports: a rule must be accession, study, patient or path:TEMPLATE with {stem}, {folder}, {folder2} or {folder3}, ` +
        `got "${rule}"; write for instance "accession,path:{folder}/{stem}"`,
    );
  });
}

/** The template for the image at `path`: {stem} its name without ending, {folder} the folder it is in, {folder2} the one around. */
function expected(template: string, path: string): string {
  const folders = path.split(/[\\/]/).filter(Boolean).reverse().slice(1);
  return template.replace(/\{(stem|folder|folder2|folder3)\}/g, (_, name: string) =>
    name === 'stem'
      ? imageStem(path).replace(/\.(dcm|dicom|ima)$/i, '')
      : (folders[Number(name.slice(6) || '1') - 1] ?? ''),
  );
}

const same = (text: string): string => text.trim().toUpperCase();

/** Studies by everything that the rules ask for, built once. */
class StudyIndex {
  private readonly byKey = new Map<string, Set<string>>();
  private readonly dates = new Map<string, string>();

  constructor(studies: readonly StudyKeys[], rules: readonly MatchRule[]) {
    for (const study of studies) {
      this.add('accession', study.accession, study.studyId);
      this.add('study', study.studyUid, study.studyId);
      this.add('patient', study.patient, study.studyId);
      this.dates.set(study.studyId, study.date);
      for (const rule of rules)
        if (rule.by === 'path')
          for (const path of study.paths)
            this.add(`path ${rule.template}`, expected(rule.template, path), study.studyId);
    }
  }

  private add(kind: string, value: string, studyId: string): void {
    if (value.trim() === '') return;
    const key = `${kind}:${same(value)}`;
    this.byKey.set(key, (this.byKey.get(key) ?? new Set()).add(studyId));
  }

  private get(kind: string, value: string): string[] {
    return value.trim() === '' ? [] : [...(this.byKey.get(`${kind}:${same(value)}`) ?? [])];
  }

  /** The studies that a rule finds for a report. */
  find(report: FoundReport, rule: MatchRule): string[] {
    const { keys } = report;
    switch (rule.by) {
      case 'accession':
        return this.get('accession', keys.accession);
      case 'study':
        return this.get('study', keys.studyUid);
      case 'patient': {
        const all = this.get('patient', keys.patient);
        // Without a day a report is only told apart where the patient has one study.
        return keys.dates.length === 0 ? all : all.filter((id) => keys.dates.includes(this.dates.get(id)!));
      }
      case 'path': {
        const kind = `path ${rule.template}`;
        const path = keys.path.replace(/\\/g, '/').replace(/\.(nii|hdr|img|dcm)(\.gz)?$/i, '');
        return [...new Set([...this.get(kind, path), ...this.get(kind, basename(path))])];
      }
    }
  }
}

/**
 * Gives every report to the study that the first fitting rule finds. A report that fits several studies by that rule, and
 * different reports that fit one study, are ambiguous: none of them is used, and each is listed.
 */
export function matchReports(
  reports: readonly FoundReport[],
  studies: readonly StudyKeys[],
  rules: readonly MatchRule[] = DEFAULT_RULES,
): Matched {
  const index = new StudyIndex(studies, rules);
  const unmatched: SkippedReport[] = [];
  const ambiguous: SkippedReport[] = [];
  const candidates = new Map<string, FoundReport[]>();
  for (const report of reports) {
    const found = rules.map((rule) => index.find(report, rule)).find((ids) => ids.length > 0);
    if (found === undefined) unmatched.push({ path: report.shown, reason: 'no study fits this report' });
    else if (found.length > 1)
      ambiguous.push({ path: report.shown, reason: `${found.length} studies fit this report` });
    else candidates.set(found[0]!, [...(candidates.get(found[0]!) ?? []), report]);
  }
  const byStudy = new Map<string, FoundReport>();
  for (const [studyId, found] of candidates) {
    const texts = new Set(found.map(({ sections }) => JSON.stringify(sections)));
    if (texts.size === 1) byStudy.set(studyId, found[0]!);
    else
      for (const one of found)
        ambiguous.push({ path: one.shown, reason: `${texts.size} different reports fit its study` });
  }
  return { byStudy, unmatched, ambiguous };
}
