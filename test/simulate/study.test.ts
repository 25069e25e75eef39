/** Simulated studies: the same twice, different between people, true to what their texts and headers say. */
import { beforeAll, describe, expect, it } from 'vitest';
import {
  type Geometry,
  REGIONS,
  SimulationError,
  type SimulatedStudy,
  simulateStudy,
} from '../../src/simulate/index.js';
import { describeHeader, NO_FIELDS } from '../../src/text/header.js';
import { planeOf } from '../../src/volume/orientation.js';
import type { Volume } from '../../src/volume/volume.js';

/** A stack of cubes around the centre of the region. */
function cubes(mm: number, across: number): Geometry {
  const n = Math.round(across / mm);
  return { plane: 'axial', shape: [n, n, n], spacing: [mm, mm, mm], thickness: mm, centre: [0, 0, 0] };
}

/** Mean RAS position of the voxels of one structure, and how many there are. */
function centroid(study: SimulatedStudy, labels: Volume, name: string, below = Infinity): number[] {
  const id = study.structures.find((structure) => structure.name === name)?.id;
  const sum = [0, 0, 0];
  let count = 0;
  const [ni, nj] = labels.shape;
  labels.data.forEach((v, n) => {
    if (v !== id) return;
    const [i, j, k] = [n % ni, Math.floor(n / ni) % nj, Math.floor(n / (ni * nj))];
    const p = labels.affine.slice(0, 3).map((r) => r[0] * i + r[1] * j + r[2] * k + r[3]);
    if (p[2]! > below) return;
    p.forEach((x, a) => (sum[a]! += x));
    count++;
  });
  return [...sum.map((s) => s / count), count];
}

describe('simulateStudy', () => {
  it('gives the same study for the same seed and patient, another for another', () => {
    const make = (seed: number, patient: number): SimulatedStudy =>
      simulateStudy({ seed, patient, region: 'knee', size: 'tiny', series: 2 });
    const [a, b, other, seed] = [make(5, 2), make(5, 2), make(5, 3), make(6, 2)];
    expect(b.report).toBe(a.report);
    expect(b.series.map(({ header }) => header)).toEqual(a.series.map(({ header }) => header));
    b.series.forEach(({ volume }, n) => expect(volume).toEqual(a.series[n]!.volume));
    for (const different of [other, seed]) {
      expect(different.series[0]!.header.studyUid).not.toBe(a.series[0]!.header.studyUid);
      expect(different.series[0]!.volume.data).not.toEqual(a.series[0]!.volume.data);
    }
  });

  it('makes six patients in a row of the six regions', () => {
    const regions = Array.from(
      { length: 12 },
      (_, patient) => simulateStudy({ seed: 3, patient, size: 'tiny', series: 1 }).region,
    );
    expect(new Set(regions.slice(0, 6))).toEqual(new Set(REGIONS));
    expect(new Set(regions.slice(6))).toEqual(new Set(REGIONS));
  });

  it('takes the series that are asked for', () => {
    const { series } = simulateStudy({
      seed: 1,
      patient: 0,
      region: 'head',
      series: [
        { contrast: 'FLAIR', plane: 'coronal', acquisition: { shape: [40, 30, 8], missing: [3] } },
        { contrast: 'T1w' },
      ],
    });
    expect(series.map(({ contrast }) => contrast)).toEqual(['FLAIR', 'T1w']);
    expect(series[0]!.volume.shape).toEqual([40, 30, 8]);
    expect(series[0]!.missingSlices).toEqual([3]);
    expect(series[0]!.header.skipSlices).toEqual([3]);
    expect(planeOf(series[0]!.volume.affine, series[0]!.volume.shape)).toBe('coronal');
  });

  it('refuses a contrast that the region is not examined with, naming those that it is', () => {
    const ask = (): unknown =>
      simulateStudy({ seed: 1, patient: 0, region: 'knee', series: [{ contrast: 'FLAIR' }] });
    expect(ask).toThrow(SimulationError);
    expect(ask).toThrow(/knee is examined with PDw, T1w, T2w, STIR, T2\*w, got FLAIR/);
    expect(() => simulateStudy({ seed: 1, patient: -1 })).toThrow(SimulationError);
    expect(() => simulateStudy({ seed: 1, patient: 0, series: 0 })).toThrow(SimulationError);
  });
});

describe('anatomy', () => {
  it.each(REGIONS)('of the %s varies between two patients', (region) => {
    const geometry = cubes(6, region === 'knee' ? 160 : 260);
    const [a, b] = [0, 1].map((patient) => {
      const study = simulateStudy({ seed: 9, patient, region, series: 1, size: 'tiny' });
      const names = new Map(study.structures.map(({ id, name }) => [id, name]));
      return Array.from(study.labels(geometry).data, (id) => names.get(id)!);
    }) as [string[], string[]];
    const inside = a.filter((name, n) => name !== 'air' || b[n] !== 'air').length;
    const different = a.filter((name, n) => name !== b[n]).length;
    expect(inside).toBeGreaterThan(3000);
    expect(different / inside).toBeGreaterThan(0.1);
    expect(different / inside).toBeLessThan(0.8);
  });

  it('puts what is said to be on the left at x < 0, on the right at x > 0', () => {
    for (const region of ['head', 'chest', 'abdomen', 'pelvis'] as const) {
      const seen = new Set<string>();
      for (let patient = 0; patient < 60 && seen.size < 2; patient++) {
        const study = simulateStudy({ seed: 4, patient, region, series: 1, size: 'tiny' });
        const sided = study.series[0]!.findings.filter(({ side, structure }) => side && structure);
        if (sided.length === 0) continue;
        const labels = study.labels(cubes(4, 280));
        for (const { name, side, structure } of sided) {
          // The renal pelvis exists on both sides; the wide one outweighs the other.
          const [x, , , count] = centroid(study, labels, structure!) as [number, number, number, number];
          if (count === 0) continue;
          expect(Math.sign(x), `${region}: ${name} at x = ${x}`).toBe(side === 'left' ? -1 : 1);
          seen.add(side!);
        }
      }
      expect(seen, region).toEqual(new Set(['left', 'right']));
    }
  });

  it('has the usual organs on their sides: liver right, spleen and stomach left, descending aorta left', () => {
    const study = simulateStudy({ seed: 2, patient: 5, region: 'abdomen', series: 1, size: 'tiny' });
    const labels = study.labels(cubes(5, 340));
    const x = (name: string): number => centroid(study, labels, name)[0]!;
    expect(x('liver')).toBeGreaterThan(25);
    expect(x('spleen')).toBeLessThan(-50);
    expect(x('stomach content')).toBeLessThan(-15);
    expect(x('inferior vena cava')).toBeGreaterThan(8);
    expect(x('right kidney cortex')).toBeGreaterThan(30);
    expect(x('left kidney cortex')).toBeLessThan(-30);
  });

  it('has the fibula on the outer side of the knee that it names', () => {
    const laterality = new Set<string>();
    for (let patient = 0; patient < 12 && laterality.size < 2; patient++) {
      const study = simulateStudy({ seed: 8, patient, region: 'knee', series: 1, size: 'tiny' });
      const left = study.series[0]!.text.includes('left knee') || study.report.includes('left knee');
      const fibula = centroid(study, study.labels(cubes(3, 130)), 'patellar marrow', -30);
      expect(Math.sign(fibula[0]!)).toBe(left ? -1 : 1);
      laterality.add(left ? 'left' : 'right');
    }
    expect(laterality.size).toBe(2);
  });
});

describe('images', () => {
  it('have the contrast of their weighting: fluid, grey and white matter of the brain', () => {
    const study = simulateStudy({
      seed: 7,
      patient: 0,
      region: 'head',
      series: (['T2w', 'T1w', 'FLAIR'] as const).map((contrast) => ({
        contrast,
        plane: 'axial' as const,
        acquisition: {
          noise: 0.005,
          bias: 0,
          thickness: 3,
          spacing: [2, 2, 3] as const,
          shape: [100, 100, 40] as const,
        },
      })),
    });
    const [t2, t1, flair] = study.series.map((one) => {
      const labels = study.labels(one.acquisition);
      const mean = (...names: string[]): number => {
        const ids = new Set(study.structures.filter((s) => names.includes(s.name)).map(({ id }) => id));
        let [sum, count] = [0, 0];
        labels.data.forEach((id, n) => {
          if (!ids.has(id)) return;
          sum += one.volume.data[n]!;
          count++;
        });
        expect(count).toBeGreaterThan(50);
        return sum / count;
      };
      return {
        fluid: mean('ventricle'),
        grey: mean('basal ganglia', 'thalamus'),
        white: mean('white matter'),
      };
    });
    if (!t2 || !t1 || !flair) throw new Error('three series were asked for');
    expect(t2.fluid).toBeGreaterThan(1.5 * t2.white);
    expect(t2.grey).toBeGreaterThan(t2.white);
    expect(t1.white).toBeGreaterThan(1.05 * t1.grey);
    expect(t1.white).toBeGreaterThan(1.5 * t1.fluid);
    expect(flair.fluid).toBeLessThan(0.6 * flair.white);
  });
});

describe('texts and headers', () => {
  let studies: SimulatedStudy[] = [];
  beforeAll(() => {
    studies = Array.from({ length: 24 }, (_, patient) => simulateStudy({ seed: 11, patient, size: 'tiny' }));
  });

  it('name the side of a finding and never the other one', () => {
    let checked = 0;
    for (const study of studies) {
      for (const { findings } of study.series) {
        for (const { side, sentences } of findings) {
          if (!side) continue;
          const other = side === 'left' ? 'right' : 'left';
          for (const sentence of sentences) {
            expect(sentence.toLowerCase()).toContain(side);
            expect(sentence.toLowerCase()).not.toMatch(new RegExp(`\\b${other}\\b`));
            checked++;
          }
        }
      }
    }
    expect(checked).toBeGreaterThan(30);
  });

  it('are made of several wordings', () => {
    const texts = studies.flatMap(({ series }) => series.map(({ text }) => text));
    expect(new Set(texts).size).toBeGreaterThan(0.8 * texts.length);
  });

  it('say what a reader of headers finds: contrast, body part, plane, for every maker', () => {
    const makers = new Set<string>();
    for (const { series, patient } of studies) {
      for (const { header, volume, contrast, bodyPart, plane, acquisition } of series) {
        const said = describeHeader(
          {
            ...NO_FIELDS,
            ...header,
            bodyPartExamined: header.bodyPart,
            scanningSequence: header.scanningSequence.split('\\'),
            studyDescription: header.studyDescription ?? '',
            inversionTime: header.inversionTime ?? null,
            bValue: header.diffusionBValue ?? null,
            contrastAgent: header.contrastAgent ?? '',
            acquisitionType: header.acquisitionType ?? '',
          },
          { plane, spacingMm: acquisition.spacing, id: header.seriesUid, identifying: [patient.name] },
        );
        expect(said.contrast, header.seriesDescription).toBe(contrast);
        expect(said.bodyPart, header.seriesDescription).toBe(bodyPart);
        expect(planeOf(volume.affine, volume.shape), header.seriesDescription).toBe(plane);
        makers.add(said.manufacturer);
      }
    }
    expect(makers).toEqual(new Set(['Siemens', 'GE', 'Philips', 'UIH', 'Canon']));
  });

  it('give every study 2 to 4 series of one frame of reference, no two alike', () => {
    for (const { series } of studies) {
      expect(series.length).toBeGreaterThanOrEqual(2);
      expect(series.length).toBeLessThanOrEqual(4);
      expect(new Set(series.map(({ header }) => header.frameOfReferenceUid)).size).toBe(1);
      expect(new Set(series.map(({ header }) => header.seriesUid)).size).toBe(series.length);
      const kinds = series.map(({ header }) => header.seriesDescription);
      expect(new Set(kinds).size).toBe(kinds.length);
    }
  });

  it('draw spacing, planes, contrasts and missing slices over their ranges', () => {
    const all = studies.flatMap(({ series }) => series);
    expect(new Set(all.map(({ plane }) => plane)).size).toBe(3);
    expect(new Set(all.map(({ contrast }) => contrast)).size).toBeGreaterThanOrEqual(8);
    const missing = all.filter(({ missingSlices }) => missingSlices.length > 0).length;
    expect(missing).toBeGreaterThan(0.03 * all.length);
    expect(missing).toBeLessThan(0.3 * all.length);
    expect(new Set(studies.map(({ region }) => region)).size).toBe(REGIONS.length);
  });
});
