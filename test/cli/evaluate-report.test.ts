import { describe, expect, it } from 'vitest';
import { evaluationReport } from '../../src/cli/evaluate-report.js';

const measured = (value: number) => ({ value, ci95: [value - 0.1, value + 0.1], n: 20, cases: 20 });

describe('evaluationReport', () => {
  it('draws groups and images made worse by the first score, and says where a group is too small', () => {
    const evaluation = {
      result: {
        suite: 'retrieval',
        metrics: { 'textToImage.recall@1': measured(0.5) },
        series: 20,
        patients: 20,
        notes: [],
        judged: { kind: 'queries', cases: [] },
      },
      subgroups: [
        {
          by: 'site',
          groups: [
            {
              name: 'so-abcdef0123456789',
              n: 16,
              cases: 16,
              metrics: { 'textToImage.recall@1': measured(0.25) },
            },
            { name: 'so-1234567890abcdef', n: 4, cases: 4, tooSmall: 'fewer than 10 patients' },
            { name: 'unknown', n: 4, cases: 4, tooSmall: 'fewer than 10 patients' },
          ],
        },
      ],
      robustness: [
        {
          name: 'resolution',
          unit: 'mm',
          points: [0, 1].map((at) => ({
            strength: at,
            label: `mm ${at}`,
            series: 20,
            metrics: { 'textToImage.recall@1': measured(0.5 - 0.25 * at) },
          })),
        },
      ],
    } as unknown as Parameters<typeof evaluationReport>[0];
    const model = { config: { size: 'nano' }, step: 1, provenance: { series: 3 } };
    const page = evaluationReport(evaluation, model as unknown as Parameters<typeof evaluationReport>[1]);
    expect(page).toContain('site abcdef');
    expect(page).toContain('site 123456');
    expect(page).not.toMatch(/so-[0-9a-f]/);
    expect(page).toContain('0.250 (0.150 to 0.350)');
    expect(page).toContain('fewer than 10 patients');
    // Halves of a drawing 272 high from 12: 0.5 lies at 148, 0.25 at 216.
    expect(page).toMatch(/points="\d+\.\d,148\.0 \d+\.\d,216\.0"/);
  });

  it('draws the curve, calibration and decisions of each label', () => {
    // Of 20 cases the first label is there in ten, all of which stand above the others; the second is never there.
    const cases = Array.from({ length: 20 }, (_, n) => ({
      patient: `pt-${n}`,
      series: [`se-${n}`],
      truth: [n < 10 ? 1 : 0, 0],
      prediction: {
        probabilities: Float64Array.of(n < 10 ? 0.75 : 0.25, 0.25),
        value: -1,
        // Two of the ten are missed.
        present: [n < 8, false],
      },
    }));
    const evaluation = {
      result: {
        suite: 'labels',
        metrics: { auroc: measured(0.5) },
        labels: [
          { name: 'tear <1>', metrics: { auroc: measured(0.875), brier: measured(0.0625) } },
          { name: 'cyst', metrics: { brier: measured(0.0625) } },
        ],
        series: 20,
        patients: 20,
        notes: [],
        judged: { kind: 'outcomes', target: { kind: 'labels', names: ['tear <1>', 'cyst'] }, cases },
      },
      subgroups: [],
    } as unknown as Parameters<typeof evaluationReport>[0];
    const model = { config: { size: 'nano' }, step: 1, provenance: { series: 3 } };
    const page = evaluationReport(evaluation, model as unknown as Parameters<typeof evaluationReport>[1]);
    expect(page).not.toContain('tear <1>');
    const [first, second] = page.slice(page.indexOf('Each label')).split('<h3>').slice(1);
    expect(first).toContain('tear &#60;1&#62;');
    // From (0, 0) straight up to (0, 1), then to (1, 1).
    expect(first).toContain('points="44.0,284.0 44.0,12.0 308.0,12.0"');
    // All cases are decided with 0.75 and right: a circle of the largest size at x = 0.75, y = 1.
    expect(first).toContain('<circle cx="242.0" cy="12.0" r="12.0"');
    expect([...first!.matchAll(/<td[^>]*>(\d+)<\/td>/g)].map(([, count]) => count)).toEqual([
      ...['10', '0'],
      ...['2', '8'],
    ]);
    expect(second).not.toContain('polyline');
    expect([...second!.matchAll(/<td[^>]*>(\d+)<\/td>/g)].map(([, count]) => count)).toEqual([
      ...['20', '0'],
      ...['0', '0'],
    ]);
    const table = page.slice(page.indexOf('Scores of each label'), page.indexOf('Each label'));
    expect(table).toContain('0.875 <small>(0.775 to 0.975)</small>');
    expect(table).toContain('<td>cyst</td><td></td><td>0.063');
  });
});
