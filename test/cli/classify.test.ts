/** fit classify and predict through the real command, on an encoder with random weights: the scores are the head's. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { Corpus } from '../../src/corpus/index.js';
import { Encoder } from '../../src/models/encoder.js';
import { writeModel } from '../../src/models/model-file.js';
import { readDicomHeader } from '../../src/formats/dicom/index.js';
import { newModel } from '../../src/models/new-model.js';
import { modelConfig } from '../../src/models/sizes.js';
import { writeCorpus } from '../../src/simulate/index.js';
import { featuresOf, predictHead, readHead, vectorOf } from '../../src/tasks/classify/index.js';
import { dicom, image } from '../corpus/made.js';
import { expectFailure, json, MAY_ALL, precess, workFolder } from './command.js';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

interface OneSeries {
  id: string;
  bodyPart: string;
  patientId: string;
}
interface Fitted {
  suite: string;
  kind: string;
  names: string[];
  series: number;
  patients: number;
  unmatchedLines: number[];
  metrics: Record<string, { value: number; ci95: [number, number]; n: number }>;
}
interface Predicted {
  level: string;
  rows: string;
  predictions: { id: string; series?: string[]; value: string; probabilities: Record<string, number> }[];
}

let dir = '';
let corpus = '';
let model = '';
let series: OneSeries[] = [];

beforeAll(async () => {
  dir = await workFolder();
  corpus = join(dir, 'corpus');
  await writeCorpus(join(dir, 'in'), { patients: 16, seed: 5, size: 'tiny', series: 2, threads: 0 });
  ({ series } = await json<{ series: OneSeries[] }>(
    'ingest',
    join(dir, 'in'),
    '--corpus',
    corpus,
    '--rights',
    MAY_ALL,
  ));
  model = join(dir, 'model.safetensors');
  await writeModel(model, newModel(modelConfig('pico'), 2));
});

const fit = (...args: string[]): string[] => [
  'fit',
  'classify',
  '--corpus',
  corpus,
  '--model',
  model,
  '--threads',
  '1',
  ...args,
];

async function labels(name: string, rows: readonly string[]): Promise<string> {
  const path = join(dir, name);
  await writeFile(path, `${rows.join('\n')}\n`);
  return path;
}

describe('precess fit classify and predict', () => {
  it('learns the region from a table, says how well for patients it has not seen, and predicts them', async () => {
    const trunk = (part: string): string =>
      /CHEST|HEART|ABDOMEN|PELVIS|PROSTATE|LIVER/.test(part) ? 'yes' : 'no';
    const file = await labels('trunk.csv', [
      'series,trunk',
      ...series.map(({ id, bodyPart }) => `${id},${trunk(bodyPart)}`),
      'se-none,yes',
    ]);
    const head = join(dir, 'head');
    const fitted = await json<Fitted>(
      ...fit('--labels', file, '--out', head, '--folds', '3', '--patch-mm', '32'),
    );
    expect(fitted).toMatchObject({ suite: 'classify', kind: 'classes', names: ['no', 'yes'] });
    expect(fitted).toMatchObject({ series: 32, patients: 16, unmatchedLines: [34] });
    for (const { value, ci95, n } of Object.values(fitted.metrics)) {
      expect(ci95[0]).toBeLessThanOrEqual(value);
      expect(ci95[1]).toBeGreaterThanOrEqual(value);
      expect(n).toBe(16);
    }
    // The head carries what it learnt from, and the corpus knows of it.
    const learnt = await json<{ series: number; runs: { id: string; kind: string }[] }>(
      ...['corpus', 'rights', '--model', head],
    );
    expect(learnt).toMatchObject({ series: 32, runs: [{ kind: 'fit' }], mayShare: true });
    const { runs } = await json<{ runs: { id: string; labels: string[] }[] }>(
      ...['corpus', 'rights', '--corpus', corpus],
    );
    expect(runs.find(({ id }) => id === learnt.runs[0]!.id)!.labels).toEqual(['head']);
    // How far tokens lie from the middle shows even before any training.
    expect(fitted.metrics.auroc!.value).toBeGreaterThan(0.75);

    const out = join(dir, 'predictions.csv');
    const all = await json<Predicted>('predict', '--corpus', corpus, '--head', head, '--out', out);
    expect(all.predictions.map(({ id }) => id)).toEqual(series.map(({ id }) => id));
    const right = all.predictions.filter(({ value }, n) => value === trunk(series[n]!.bodyPart)).length;
    // These were seen in the fit.
    expect(right / series.length).toBeGreaterThan(0.9);
    const lines = (await readFile(out, 'utf8')).trim().split('\n');
    expect(lines[0]).toBe('series,value,p(no),p(yes)');
    expect(lines).toHaveLength(33);

    const one = await json<Predicted>('predict', join(dir, 'in', 'patient-00003'), '--head', head);
    expect(one.predictions).toHaveLength(2);
    for (const { probabilities } of one.predictions)
      expect(probabilities.yes! + probabilities.no!).toBeCloseTo(1, 6);
  });

  it('joins the series of a patient that the head was fitted for, and of files says that it cannot', async () => {
    const some = [...new Set(series.map(({ patientId }) => patientId))].slice(0, 8);
    const file = await labels('arms.csv', ['patient,arm', ...some.map((id, n) => `${id},${n % 2}`)]);
    const [head, out] = [join(dir, 'arms'), join(dir, 'arms-out.csv')];
    await json<Fitted>(...fit('--labels', file, '--out', head, '--folds', '2', '--patch-mm', '32'));
    const where = `patientId IN (${some.map((id) => `'${id}'`).join(', ')})`;
    const of = ['predict', '--corpus', corpus, '--head', head, '--threads', '1', '--where', where];
    const joined = await json<Predicted>(...of, '--out', out);
    expect(joined).toMatchObject({ level: 'patient', rows: 'patient' });
    expect(joined.predictions.map(({ id }) => id).sort()).toEqual([...some].sort());

    // What the head says of each series, without the command.
    const fitted = await readHead(head);
    const encoder = await Encoder.open(fitted.model, { threads: 1 });
    const opened = await Corpus.open(corpus);
    const { patchMm, maxTokens } = fitted;
    const all = await opened.list({ where });
    const features = await featuresOf((id) => opened.volume(id), encoder, all, { patchMm, maxTokens });
    opened.close();
    await encoder.close();
    for (const { id, series: own, probabilities } of joined.predictions) {
      expect(own!.toSorted()).toEqual(
        all
          .filter((one) => one.patientId === id)
          .map((one) => one.id)
          .sort(),
      );
      expect(own).toHaveLength(2);
      const ps = own!.map(
        (one) => predictHead(fitted.head, vectorOf(fitted, features.get(one)!)).probabilities[1]!,
      );
      expect(probabilities['1']).toBeCloseTo((ps[0]! + ps[1]!) / 2, 5);
    }
    const lines = (await readFile(out, 'utf8')).trim().split('\n');
    expect(lines[0]).toBe('patient,value,p(0),p(1),series');
    expect(lines).toHaveLength(9);
    const [first] = joined.predictions;
    expect(lines[1]!.split(',')[0]).toBe(first!.id);
    expect(lines[1]!.endsWith(`,${first!.series!.join(' ')}`)).toBe(true);

    const files = await precess('predict', join(dir, 'in', 'patient-00003'), '--head', head, '--json');
    expect(JSON.parse(files.stdout)).toMatchObject({ level: 'patient', rows: 'series' });
    expect((JSON.parse(files.stdout) as Predicted).predictions).toHaveLength(2);
    expect(files.stderr).toMatch(/fitted for a patient; whose the images are is not known/);
  });

  it('learns from series without labels, of the corpus and of a folder, and says what of', async () => {
    // One series each of 16 patients; the first 8 have a label.
    const some = series.filter(
      ({ patientId }, n) => series.findIndex((s) => s.patientId === patientId) === n,
    );
    const ids = some.slice(0, 16).map(({ id }) => id);
    const file = await labels('few.csv', [
      'series,half',
      ...ids.slice(0, 8).map((id, n) => `${id},${n % 2}`),
    ]);
    const where = `id IN (${ids.map((id) => `'${id}'`).join(', ')})`;
    const cheap = ['--labels', file, '--where', where, '--folds', '2', '--patch-mm', '32'];
    const own = await json<Fitted>(...fit(...cheap, '--unlabeled', corpus, '--out', join(dir, 'semi')));
    expect(own).toMatchObject({ series: 8, features: 'all', unlabeled: { series: 8, patientsKnown: true } });
    // Predicting computes the views that the head reads.
    const said = await json<Predicted>(
      'predict',
      join(dir, 'in', 'patient-00003'),
      '--head',
      join(dir, 'semi'),
    );
    for (const { probabilities } of said.predictions)
      expect(Object.values(probabilities).reduce((sum, p) => sum + p)).toBeCloseTo(1, 6);
    const learnt = await json<{ series: number }>('corpus', 'rights', '--model', join(dir, 'semi'));
    expect(learnt.series).toBe(16);

    const folder = join(dir, 'others');
    await writeCorpus(folder, { patients: 1, seed: 6, size: 'tiny', series: 2, threads: 0 });
    const there = ['--unlabeled', folder, '--out', join(dir, 'files')];
    expectFailure(await precess(...fit(...cheap, ...there)), 2, /--unlabeled-rights/);
    const may = (rights: string): string[] => [...there, '--unlabeled-rights', rights];
    expectFailure(await precess(...fit(...cheap, ...may('own:evaluate'))), 2, /must permit "train"/);
    const files = await json<Fitted>(...fit(...cheap, ...may('own:train')));
    expect(files).toMatchObject({ unlabeled: { series: 2, patientsKnown: false } });
    expectFailure(
      await precess(...fit(...cheap, '--unlabeled', join(dir, 'nowhere'), '--out', 'x')),
      1,
      /nowhere does not exist/,
    );
  });

  it.each(['attentive', 'lora'])('trains a head that predict uses, %s', async (method) => {
    const some = series.filter(
      ({ patientId }, n) => series.findIndex((s) => s.patientId === patientId) === n,
    );
    const file = await labels(`${method}.csv`, [
      'series,half',
      ...some.slice(0, 8).map(({ id }, n) => `${id},${n % 2}`),
    ]);
    const head = join(dir, method);
    const cheap = ['--folds', '2', '--patch-mm', '32', '--steps', '2'];
    const fitted = await json<Fitted>(...fit('--labels', file, '--out', head, '--method', method, ...cheap));
    expect(fitted).toMatchObject({ kind: 'classes', series: 8 });
    const one = await json<Predicted>('predict', join(dir, 'in', 'patient-00003'), '--head', head);
    for (const { probabilities } of one.predictions)
      expect(probabilities['0']! + probabilities['1']!).toBeCloseTo(1, 6);
    if (method === 'lora') return;
    const out = join(dir, 'prediction.dcm');
    await json('predict', join(dir, 'in', 'patient-00003'), '--head', head, '--out', out);
    for (const [n] of one.predictions.entries()) {
      const { sopClassUid, modality } = await readDicomHeader(out.replace('.dcm', `-${n + 1}.dcm`));
      expect([sopClassUid, modality]).toEqual(['1.2.840.10008.5.1.4.1.1.88.22', 'SR']);
    }
    expectFailure(
      await precess('predict', '--corpus', corpus, '--head', head, '--out', out),
      2,
      /DICOM image/,
    );
  });

  it('refuses labels that match nothing, one class, and classes of one patient', async () => {
    const out = ['--out', join(dir, 'none')];
    const nobody = await labels('nobody.csv', ['patient,y', 'pt-a,1', 'pt-b,0']);
    expectFailure(await precess(...fit('--labels', nobody, ...out)), 1, /none of its 2 rows/);
    const same = await labels('same.csv', ['series,y', ...series.map(({ id }) => `${id},1`)]);
    expectFailure(await precess(...fit('--labels', same, ...out)), 1, /at least two classes/);
    const lonely = await labels('lonely.csv', [
      'patient,y',
      ...[...new Set(series.map(({ patientId }) => patientId))].map(
        (id, n) => `${id},${n === 0 ? 'a' : 'b'}`,
      ),
    ]);
    expectFailure(await precess(...fit('--labels', lonely, ...out)), 1, /at least two patients/);
  });

  it('refuses one image under two patients', async () => {
    const twins = join(dir, 'twins');
    for (const n of [1, 2, 3, 4]) {
      const scan = image();
      // The last two are one image, exported under two names.
      const data = scan.data.map((value) => value * Math.min(n, 3));
      const uids = { studyUid: `1.2.3.${n}`, seriesUid: `1.2.3.${n}.1` };
      await dicom(join(twins, String(n)), { patientId: `P${n}`, ...uids }, { ...scan, data });
    }
    const other = join(dir, 'twins-corpus');
    const stored = await json<{ series: OneSeries[] }>(
      ...['ingest', twins, '--corpus', other, '--rights', MAY_ALL],
    );
    const file = await labels('twins.csv', [
      'series,y',
      ...stored.series.map(({ id }, n) => `${id},${n % 2 ? 'a' : 'b'}`),
    ]);
    const args = ['fit', 'classify', '--corpus', other, '--model', model, '--labels', file, '--folds', '2'];
    const refused = await precess(...args, '--out', join(dir, 'none'));
    expectFailure(refused, 1, /fit: an image must be of one patient, but se-\w+ and se-\w+ \(equal voxels\)/);
  });

  it('refuses wrong usage', async () => {
    expectFailure(await precess('predict', '--head', 'x'), 2, /either an image or --corpus/);
    expectFailure(await precess('predict', 'a', '--head', 'x', '--out', 'b.txt'), 2, /\.csv or \.json/);
    expectFailure(await precess('predict', 'a', '--head', join(dir, 'nothing')), 1, /made by "precess fit"/);
    expectFailure(await precess(...fit('--labels', 'x', '--out', 'y', '--order', 'a,b')), 2, /--order/);
    expectFailure(
      await precess(...fit('--labels', 'x', '--out', 'y', '--steps', '5')),
      2,
      /--method attentive/,
    );
  });
});
