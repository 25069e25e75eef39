/** What of a report is stored: cleaned sections, and the sentences that go into a series' text. */
import type { ReportSections } from '../../text/report-sections.js';
import { sentencesOf } from '../../text/sentence-split.js';
import { cleanReport } from '../report.js';
import type { FoundReport } from './found.js';

/**
 * The sections of a report without what identifies a person: the values that stand beside the report, those of the
 * study's own files (`identifying`), and what has the form of a name, date or number. Null where nothing is left.
 */
export function storedReport(found: FoundReport, identifying: readonly string[]): ReportSections | null {
  const values = [...found.identifying, ...identifying];
  // A word is enough: "Normal."
  const clean = (text: string): string => cleanReport(closed(sentencesOf(text)).join('\n'), values, 1);
  const { findings, impression, other } = found.sections;
  const stored = { findings: clean(findings), impression: clean(impression), other: clean(other) };
  return stored.findings === '' && stored.impression === '' ? null : stored;
}

/** Findings after the impression, which says most: a text encoder may cut off the end. */
export function reportText(report: ReportSections): string {
  return [report.impression, report.findings].filter((text) => text !== '').join(' ');
}

/** Items of lists end in a stop too, because lines are joined. */
const closed = (sentences: readonly string[]): string[] =>
  sentences.map((sentence) => (/[.!?:;]$/.test(sentence) ? sentence : `${sentence}.`));
