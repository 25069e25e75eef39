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
});
