/** How much of what identifies a person in sentences of reports is found without any header, and what is lost with it. */
import { describe, expect, it } from 'vitest';
import { cleanReport } from '../../src/corpus/report.js';
import { simulateStudy } from '../../src/simulate/index.js';
import { score, sentences, type Score } from './free-text.js';

const clean = ({ text }: { text: string }): string => cleanReport(text, [], 1);
const share = (part: number, all: number): string => `${part}/${all} (${((100 * part) / all).toFixed(1)} %)`;

function line(name: string, { removed, planted, otherWords, wrongWords }: Score): string {
  return `${name}: planted values removed ${share(removed, planted)}, other words kept ${share(otherWords - wrongWords, otherWords)}`;
}

describe('free text', () => {
  it('loses what identifies a person and keeps the rest, in five languages', () => {
    const all = sentences();
    const lines: string[] = [];
    for (const language of ['en', 'de', 'fr', 'es', 'it'])
      for (const set of ['dev', 'test'] as const) {
        const some = all.filter((one) => one.language === language && one.set === set);
        lines.push(line(`${language} ${set}`, score(some, clean)));
      }
    for (const kind of ['name', 'date', 'id', 'phone', 'mail', 'address']) {
      const some = all
        .filter(({ set }) => set === 'test')
        .map((one) => ({ ...one, planted: one.planted.filter((p) => p.kind === kind) }));
      const { removed, planted } = score(some, clean);
      lines.push(`test, ${kind}: removed ${share(removed, planted)}`);
    }
    const test = score(
      all.filter(({ set }) => set === 'test'),
      clean,
    );
    lines.push(
      line('all of test', test),
      `missed: ${test.missed.join('; ')}`,
      `lost: ${test.lost.join(' ')}`,
    );
    console.info(lines.join('\n'));
    expect(test.planted).toBeGreaterThan(50);
    expect(test.removed / test.planted).toBeGreaterThan(0.95);
    expect(test.wrongWords / test.otherWords).toBeLessThan(0.1);
  });

  it('is kept to the word where nothing in it identifies anybody', () => {
    for (let seed = 1; seed <= 4; seed++) {
      for (const { findingsText } of simulateStudy({ seed, patient: seed }).series)
        expect(cleanReport(findingsText, [], 1)).toBe(findingsText);
    }
    for (const { text, planted } of sentences())
      if (planted.length === 0) expect(cleanReport(text, [], 1)).toBe(text);
  });

  it('takes no longer for text that is made to be slow', () => {
    for (const unit of [
      'A ',
      '1 ',
      'Aa ',
      'Patient: ',
      'Dr. ',
      '1.',
      'de la ',
      '12 Rue ',
      'Calle A ',
      'A1',
      'Aa, ',
    ])
      expect(cleanReport(unit.repeat(20_000), [], 1).length).toBeLessThanOrEqual(4000);
  });
});
