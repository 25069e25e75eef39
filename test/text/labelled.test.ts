/**
 * Accuracy and calibration on labelled series descriptions. The floors are what filters and training need (a wrong
 * term in twenty at most, and a confidence that is not far from the share of right answers), not what was measured.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  describeHeader,
  type HeaderDescription,
  type HeaderFields,
  NO_FIELDS,
} from '../../src/text/header.js';
import { imagingTerms, planeOf } from '../../src/text/terms.js';

interface Labelled {
  readonly row: string;
  readonly fields: HeaderFields;
  readonly truth: { readonly contrast: string; readonly bodyPart: string; readonly plane: string };
}

const number = (value: string): number => Number(value);
const list = (value: string): string[] => value.split(',');
const same = (value: string): string => value;
const HINTS: Readonly<Record<string, readonly [keyof HeaderFields, (value: string) => unknown]>> = {
  bpe: ['bodyPartExamined', same],
  protocol: ['protocolName', same],
  study: ['studyDescription', same],
  agent: ['contrastAgent', same],
  type: ['imageType', list],
  seq: ['scanningSequence', list],
  te: ['echoTime', number],
  tr: ['repetitionTime', number],
  ti: ['inversionTime', number],
  fa: ['flipAngle', number],
  b: ['bValue', number],
};

function labelled(name: string): Labelled[] {
  const path = new URL(`../fixtures/text/${name}-descriptions.txt`, import.meta.url);
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [manufacturer, seriesDescription, hints, contrast, bodyPart, plane] = line
        .split('|')
        .map((cell) => cell.trim());
      const given = hints!
        .split(';')
        .filter(Boolean)
        .map((hint) => {
          const at = hint.indexOf('=');
          const [field, parse] = HINTS[hint.slice(0, at)]!;
          return [field, parse(hint.slice(at + 1))];
        });
      const fields = {
        ...NO_FIELDS,
        manufacturer,
        seriesDescription,
        ...Object.fromEntries(given),
      } as HeaderFields;
      return { row: line, fields, truth: { contrast: contrast!, bodyPart: bodyPart!, plane: plane! } };
    });
}

const describeOne = (fields: HeaderFields): HeaderDescription =>
  describeHeader(fields, { plane: 'axial', spacingMm: [1, 1, 3], id: 'se-0' });
const share = (flags: readonly boolean[]): number => flags.filter(Boolean).length / flags.length;

describe.each([
  ['held-out half', labelled('series').filter((_, at) => at % 2 === 1)],
  ['descriptions found elsewhere', labelled('found')],
  ['more of them', labelled('fresh')],
])('%s', (_, rows) => {
  const results = rows.map(({ fields, truth }) => ({ said: describeOne(fields), truth }));

  it('has enough rows', () => expect(rows.length).toBeGreaterThan(100));

  it.each(['contrast', 'bodyPart'] as const)('%s: 19 of 20 are right', (field) => {
    expect(share(results.map(({ said, truth }) => said[field] === truth[field]))).toBeGreaterThan(0.95);
  });

  it('plane: 19 of 20 are right', () => {
    const right = rows.map(({ fields, truth }) => {
      const own = planeOf(imagingTerms(fields.seriesDescription));
      return (own ?? planeOf(imagingTerms(fields.protocolName)) ?? 'unknown') === truth.plane;
    });
    expect(share(right)).toBeGreaterThan(0.95);
  });

  it.each(['contrast', 'bodyPart'] as const)(
    '%s: the confidence is near the share of right answers',
    (field) => {
      const answers = results.filter(({ said }) => said.confidence[field] > 0);
      const mean = answers.reduce((sum, { said }) => sum + said.confidence[field], 0) / answers.length;
      const right = share(answers.map(({ said, truth }) => said[field] === truth[field]));
      expect(Math.abs(mean - right)).toBeLessThan(0.1);
    },
  );

  it('is not confident of what it does not know', () => {
    for (const { said } of results) {
      expect(said.confidence.contrast > 0).toBe(said.contrast !== 'unknown');
      expect(said.confidence.bodyPart > 0).toBe(said.bodyPart !== 'UNKNOWN');
    }
  });
});

describe('confidence', () => {
  const of = (fields: Partial<HeaderFields>, plane: 'axial' | 'sagittal' = 'axial') =>
    describeHeader({ ...NO_FIELDS, ...fields }, { plane, spacingMm: [1, 1, 3], id: 'se-0' }).confidence;

  it('falls where words and timing disagree', () => {
    const spin = { scanningSequence: ['SE'], seriesDescription: 't1_tse_tra' };
    const agree = of({ ...spin, echoTime: 10, repetitionTime: 500 }).contrast;
    const disagree = of({ ...spin, echoTime: 110, repetitionTime: 4500 }).contrast;
    expect(disagree).toBeLessThan(agree - 0.2);
  });

  it('falls where the description and Body Part Examined disagree, and rises where they agree', () => {
    const alone = of({ seriesDescription: 'AX T1 KNEE' }).bodyPart;
    expect(of({ seriesDescription: 'AX T1 KNEE', bodyPartExamined: 'HEAD' }).bodyPart).toBeLessThan(alone);
    expect(of({ seriesDescription: 'AX T1 KNEE', bodyPartExamined: 'KNEE' }).bodyPart).toBeGreaterThan(alone);
  });

  it('is 1 for a plane by geometry, less where the description names another', () => {
    expect(of({ seriesDescription: 't2_tse_sag' }, 'sagittal').plane).toBe(1);
    expect(of({ seriesDescription: 't2_tse_sag' }, 'axial').plane).toBeLessThan(1);
    expect(of({ seriesDescription: 't2_tse' }, 'axial').plane).toBe(1);
  });

  it('does not take a repetition time or a flip angle for an imaging term', () => {
    expect(imagingTerms('ep2d_bold_TR2500_FA10')).toEqual(['ep2d', 'bold']);
  });

  it('keeps no numbers but b-values', () => {
    expect(imagingTerms('dwi_b1400_tra 4711 B1234 ID20110707')).toEqual(['dwi', 'b1400', 'tra']);
    expect(imagingTerms('ep2ddiffb0100400800ADC')).toEqual(['ep2d', 'diff', 'b0', 'adc']);
  });
});
