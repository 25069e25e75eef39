/** The library as its users import it: the examples of docs/evaluation.md on the built package, and a head from end to end. */
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Series } from '../../src/corpus/series.js';
import { classification, datasetNamed, DATASET_NAMES, evaluation } from '../../src/index.js';
import { Random } from '../../src/volume/random.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'precess-library-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** The examples of the section "From a program", in order. */
async function examples(): Promise<string[]> {
  const text = await readFile(join(ROOT, 'docs', 'evaluation.md'), 'utf8');
  const section = text.slice(text.indexOf('## From a program'));
  return [...section.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code!);
}

/** Runs a module in the package's own folder, where its name stands for itself. */
function run(code: string): string {
  const args = ['--input-type=module', '--eval', code];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout;
}

describe('the examples of docs/evaluation.md', () => {
  it('read a public set by its published split', async () => {
    const [code] = await examples();
    for (const [side, patient, frames] of [
      ['training', 'patient001', ['01', '12']],
      ['testing', 'patient101', ['01']],
    ] as const)
      for (const frame of frames)
        for (const end of ['', '_gt']) {
          const path = join(dir, side, patient, `${patient}_frame${frame}${end}.nii.gz`);
          await mkdir(dirname(path), { recursive: true });
          await writeFile(path, '');
        }
    expect(code).toContain("'downloads/acdc'");
    const lines = run(code!.replace("'downloads/acdc'", JSON.stringify(dir)))
      .trim()
      .split('\n');
    expect(lines).toEqual([
      expect.stringMatching(/^train 2 cases 1 patients .*left ventricle/i),
      expect.stringMatching(/^test 1 cases 1 patients /),
    ]);
  });

  it('score predictions with an interval over patients', async () => {
    const [, code] = await examples();
    const [, value, low, high] = /^(\S+) \[ '(\S+)', '(\S+)' \] 20 patients\n$/.exec(run(code!))!.map(Number);
    // Pairs of a positive and a negative, by definition.
    const said = Array.from({ length: 40 }, (_, n) => (n % 2) + Math.sin(n));
    const above = said.flatMap((p, i) =>
      i % 2 === 1 ? said.flatMap((q, j) => (j % 2 === 0 ? [Number(p > q)] : [])) : [],
    );
    expect(value).toBeCloseTo(above.reduce((sum, one) => sum + one, 0) / above.length, 3);
    expect(low).toBeLessThan(value!);
    expect(high).toBeGreaterThan(value!);
  });
});

describe('the library', () => {
  it('fits a head of a table of labels, asks it of others, and scores it', async () => {
    const random = new Random(12);
    const series = Array.from({ length: 60 }, (_, n) => ({
      id: `se-${n}`,
      studyId: `st-${n}`,
      patientId: `pt-${n >> 1}`,
    })) as unknown as Series[];
    const path = join(dir, 'labels.csv');
    const armOf = (patient: string): number => Number(patient.slice(3)) % 2;
    const patients = [...new Set(series.map(({ patientId }) => patientId))];
    await writeFile(path, `patient,arm\n${patients.map((id) => `${id},${armOf(id)}`).join('\n')}\n`);
    const labelled = await classification.readLabels(path, series, null);
    expect(labelled).toMatchObject({ level: 'patient', target: { kind: 'classes', names: ['0', '1'] } });

    // Classes 3 apart in one of four features.
    const draw = (arm: number): Float32Array =>
      Float32Array.from({ length: 4 }, (_, d) => random.normal() + (d === 0 ? 3 * arm : 0));
    const cases = {
      features: series.map(({ patientId }) => draw(armOf(patientId))),
      patients: series.map(({ patientId }) => patientId),
    };
    const { predictions } = classification.crossPredict(cases, labelled.target, {
      method: 'logistic',
      folds: 3,
      seed: 0,
    });
    const outcomes = evaluation.joinUnits(
      predictions,
      labelled.target.values,
      labelled.units,
      cases.patients,
    );
    expect(outcomes).toHaveLength(30);
    // The mean of two series: 3 √2 standard deviations apart, right in Φ(2.1) = 98 %.
    expect(evaluation.taskScores(labelled.target, outcomes, { rounds: 100 }).accuracy!.value).toBeGreaterThan(
      0.85,
    );
    const head = classification.fitHead(cases, labelled.target, 'logistic', 0);
    const said = [0, 1].map((arm) =>
      classification.joinPredictions(
        Array.from({ length: 20 }, () => classification.predictHead(head, draw(arm))),
      ),
    );
    expect(said.map(({ value }) => value)).toEqual([0, 1]);
  });

  it('names every public set', () => {
    for (const name of DATASET_NAMES) expect(datasetNamed(name).name).toBe(name);
  });
});
