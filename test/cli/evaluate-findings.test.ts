/** precess evaluate prostatex-findings through the real command, on DICOM with the names of the set. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { newUid, writeDicomSeries, type MrHeader } from '../../src/formats/dicom/index.js';
import { writeModel } from '../../src/models/model-file.js';
import { newModel } from '../../src/models/new-model.js';
import { modelConfig } from '../../src/models/sizes.js';
import { scalingAffine } from '../../src/volume/affine.js';
import { Random } from '../../src/volume/random.js';
import type { Vec3, Volume } from '../../src/volume/volume.js';
import { header } from '../formats/studies.js';
import { json, precess, workFolder } from './command.js';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const PATIENTS = 10;
let data = '';
let model = '';

/** RAS+ mm of the two findings of a patient: one on each side, the first is dark where it is significant. */
const placesOf = (n: number): readonly [Vec3, Vec3] => {
  const side = n % 2 === 0 ? 1 : -1;
  return [
    [side * 26, 4, 6],
    [-side * 26, 4, 6],
  ];
};

/** Noise in an ellipsoid with two bright balls, other ones in each patient, and dark in 12 mm around the first finding. */
function image(n: number, seed: number): Volume {
  const random = new Random(7, n);
  const half = [0, 1, 2].map(() => random.uniform(48, 80));
  const balls: Vec3[] = [];
  while (balls.length < 2) {
    const ball: Vec3 = [random.uniform(-60, 60), random.uniform(-60, 60), random.uniform(-60, 60)];
    if (placesOf(n).every((place) => distance(place, ball) > 48)) balls.push(ball);
  }
  const noise = new Random(seed, n);
  const data = new Int16Array(44 ** 3);
  for (let v = 0; v < data.length; v++) {
    const at = [v % 44, Math.floor(v / 44) % 44, Math.floor(v / 1936)].map(
      (i) => 4 * i - 86,
    ) as unknown as Vec3;
    if (Math.hypot(...at.map((mm, d) => mm / half[d]!)) > 1) continue;
    const bright = balls.some((ball) => distance(ball, at) < 26);
    const dark = distance(placesOf(n)[0], at) < 12;
    data[v] = (bright ? 1100 : dark ? 250 : 600) + 30 * noise.normal();
  }
  const affine = scalingAffine([4, 4, 4], [-86, -86, -86]);
  return { data, shape: [44, 44, 44], affine, slope: 1, intercept: 0, valid: null };
}

const distance = (a: Vec3, b: Vec3): number => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);

beforeAll(async () => {
  const dir = await workFolder();
  data = join(dir, 'prostatex');
  const rows = ['ProxID,fid,pos,zone,ClinSig'];
  for (let n = 0; n < PATIENTS; n++) {
    const patient = `ProstateX-${String(n).padStart(4, '0')}`;
    const study = join(data, 'PROSTATEx', patient, `10-1${n}-2011-MR prostaat-0571${n}`);
    const studyUid = newUid(`study ${n}`);
    for (const [seed, name] of [
      '4.000000-t2tsetra-00702',
      '7.000000-ep2ddifftraDYNDISTADC-03704',
    ].entries()) {
      const folder = join(study, name);
      await mkdir(folder, { recursive: true });
      const one: MrHeader = { ...header, patientId: patient, studyUid, seriesUid: newUid(`${name} ${n}`) };
      await writeDicomSeries(folder, image(n, seed), one);
    }
    placesOf(n).forEach(([x, y, z], f) =>
      rows.push(`${patient},${f + 1},${-x} ${-y} ${z},PZ,${f === 0 ? 'TRUE' : 'FALSE'}`),
    );
  }
  await writeFile(join(data, 'ProstateX-Findings-Train.csv'), rows.join('\n'));
  model = join(dir, 'model.safetensors');
  await writeModel(model, newModel({ ...modelConfig('nano'), layers: 2 }, 2));
});

interface Document {
  suite: string;
  series: number;
  patients: number;
  published: object;
  metrics: Record<string, { value: number }>;
}

describe('precess evaluate prostatex-findings', () => {
  it('tells findings of one image apart by what is around them', async () => {
    const args = ['--data', data, '--model', model, '--threads', '1', '--rounds', '100'];
    const document = await json<Document>('evaluate', 'prostatex-findings', ...args);
    expect(document).toMatchObject({
      suite: 'prostatex-findings',
      series: 2 * PATIENTS,
      patients: PATIENTS,
      published: {
        metric: 'AUROC of findings',
        scored: 'auroc',
        splits: ['train', 'test (labels withheld)'],
        splitUsed: false,
      },
    });
    // All of the image is the same for both findings of a patient: it would give 0.5.
    expect(document.metrics.auroc!.value).toBeGreaterThan(0.9);
  });

  it('says in its help what each set is scored by, and how it is split', async () => {
    const { stdout } = await precess('evaluate', 'picai', '--help');
    expect(stdout).toMatch(
      / {2}picai +mean of the AUROC of cases and the average precision of lesions \[fold 0, .*fold 4\]/,
    );
    expect(stdout).toMatch(/ {2}prostatex-findings +AUROC of findings \[train, test \(labels withheld\)\]/);
    expect(stdout).toMatch(/ {2}ixi +none published \[none published\]/);
  });
});
