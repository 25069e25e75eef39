/** Runs side by side, from what they have written. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { compareRuns, readRun } from '../../src/train/history.js';

const dir = mkdtempSync(join(tmpdir(), 'precess-history-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function run(name: string, settings: object, lines: readonly object[], tail = ''): string {
  const folder = join(dir, name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'config.json'), JSON.stringify(settings));
  writeFileSync(
    join(folder, 'metrics.jsonl'),
    lines.map((line) => `${JSON.stringify(line)}\n`).join('') + tail,
  );
  return folder;
}

const one = run('one', { kind: 'pretrain', seed: 1, batch: 16 }, [
  { step: 1, loss: 5, seconds: 2, tokensPerSecond: 100, learningRate: 1e-4 },
  { step: 2, loss: 3, seconds: 4, tokensPerSecond: 300, 'knn.plane': 0.8, learningRate: 2e-4 },
  { step: 3, loss: 4, seconds: 3, tokensPerSecond: 200, 'knn.plane': 0.7, learningRate: 1e-4 },
]);
const two = run(
  'two',
  { kind: 'pretrain', seed: 1, batch: 32, objective: 'joint' },
  [
    { step: 1, loss: 6, seconds: 1, tokensPerSecond: 900, learningRate: 1e-4 },
    { step: 2, loss: 3.5, seconds: 1, tokensPerSecond: 700, 'knn.plane': 0.9, learningRate: 2e-4 },
  ],
  '{"step":3,"lo',
);

describe('compareRuns', () => {
  it('tells settings that differ, the last and best of what is learnt, and the median of what it takes', async () => {
    const result = compareRuns([await readRun(one), await readRun(two)]);
    expect(result.runs).toEqual([
      { run: one, steps: 3, seconds: 9 },
      // The half line of a run that is going on does not count.
      { run: two, steps: 2, seconds: 2 },
    ]);
    expect(result.settings).toEqual([
      { name: 'batch', values: [16, 32] },
      { name: 'objective', values: [undefined, 'joint'] },
    ]);
    expect(result.measures).toEqual([
      { name: 'loss', of: 'last', values: [4, 3.5], best: [3, 3.5], ahead: 1 },
      { name: 'seconds', of: 'median', values: [3, 1], best: [2, 1], ahead: 1 },
      { name: 'tokensPerSecond', of: 'median', values: [200, 800], best: [300, 900], ahead: 1 },
      { name: 'knn.plane', of: 'last', values: [0.7, 0.9], best: [0.8, 0.9], ahead: 1 },
    ]);
  });

  it('names nobody ahead where runs are equal or only one has a measure', async () => {
    const alone = run('alone', {}, [{ step: 1, loss: 4, dino: 1 }]);
    const { measures } = compareRuns([await readRun(one), await readRun(alone)]);
    expect(measures.find(({ name }) => name === 'loss')!.ahead).toBeNull();
    expect(measures.find(({ name }) => name === 'dino')).toMatchObject({ values: [null, 1], ahead: null });
  });

  it('says what a run folder is when it is given another', async () => {
    await expect(readRun(dir)).rejects.toThrow(/must be a run folder with a config.json/);
  });
});
