/** One simulated study: a person, a region, several series of the same anatomy, a report. */
import { type MrHeader, newUid } from '../formats/dicom/index.js';
import type { Volume } from '../volume/volume.js';
import {
  type Acquired,
  acquire,
  type Acquisition,
  type Geometry,
  type Plane,
  stackAffine,
} from './acquire.js';
import { SimulationError, type Structure } from './anatomy.js';
import { drawPatient, type Finding, type Patient } from './patient.js';
import { type Contrast, drawTiming, hasAgent, type Protocol } from './protocol.js';
import { Stream } from './random.js';
import { labelledMiddle, labelRaster, type LabelTissues } from './label-map.js';
import { AnatomyRaster, type LabelSource } from './raster.js';
import { abdomen } from './regions/abdomen.js';
import { chest } from './regions/chest.js';
import { head } from './regions/head.js';
import { knee } from './regions/knee.js';
import { lumbar } from './regions/lumbar.js';
import { pelvis } from './regions/pelvis.js';
import type { RegionBuilder, Scene } from './regions/region.js';
import { findingSentences, type SeriesFacts, studyReport, techniqueSentence } from './report.js';
import { drawScanner, is3d, type Scanner, scanningSequence, sequenceName, seriesName } from './vendor.js';

/** The regions; a new one is a builder in regions/ and a line here. */
const BUILDERS = { head, spine: lumbar, chest, abdomen, pelvis, knee } as const satisfies Record<
  string,
  RegionBuilder
>;
export type Region = keyof typeof BUILDERS;
export const REGIONS = Object.keys(BUILDERS) as Region[];

export type Size = 'tiny' | 'small' | 'full';

interface SizeRule {
  /** Pixels across the field of view, [least, most]. */
  readonly across: readonly [number, number];
  /** Pixels are not larger than this, mm. */
  readonly pixelMm: number;
  readonly slices: number;
  /** Slices are not further apart than this, mm, even if the stack then covers less. */
  readonly distanceMm: number;
}

const SIZES: Record<Size, SizeRule> = {
  tiny: { across: [52, 72], pixelMm: 4.6, slices: 18, distanceMm: 7 },
  small: { across: [92, 116], pixelMm: 3.8, slices: 28, distanceMm: 7 },
  full: { across: [256, 384], pixelMm: 1.6, slices: 400, distanceMm: 6 },
};

/** What a series must be like; what is left out is drawn. */
export interface SeriesSpec {
  readonly contrast?: Contrast;
  readonly plane?: Plane;
  /** Set outright what a scanner would choose. */
  readonly acquisition?: Partial<Acquisition>;
}

export interface StudyOptions {
  readonly seed: number;
  /** Index of the patient, from 0. */
  readonly patient: number;
  /** Which of the patient's studies: the same person and anatomy, taken another time. 0, the first, unless given. */
  readonly study?: number;
  /** By default every six patients in a row have the six regions, in random order. */
  readonly region?: Region;
  /** How many series (by default 2 to 4), or what each is like. */
  readonly series?: number | readonly SeriesSpec[];
  readonly size?: Size;
  /** A person's head as a map of tissues, whose images are taken instead of ours: nothing is found or said of it. */
  readonly labels?: { readonly volume: Volume; readonly tissues: LabelTissues };
}

export interface SimulatedSeries extends Acquired {
  readonly header: MrHeader;
  /** How it was taken and what it shows. */
  readonly text: string;
  /** Only what it shows: written into the files, whose header says the rest. */
  readonly findingsText: string;
  /** Findings that lie in the stored slices. */
  readonly findings: readonly Finding[];
  readonly contrast: Contrast;
  readonly plane: Plane;
  readonly bodyPart: string;
  readonly acquisition: Acquisition;
}

export interface SimulatedStudy {
  readonly patient: Patient;
  readonly region: Region;
  readonly report: string;
  /** Names of all findings, e.g. "left renal cyst". */
  readonly findings: readonly string[];
  readonly series: readonly SimulatedSeries[];
  readonly structures: readonly Structure[];
  /** Structure ids (uint8) on a stack of the caller's choice, in the space of the series. */
  labels(geometry: Geometry): Volume;
}

/**
 * Simulates the study of one patient. The same seed, patient and options give the same voxels and texts.
 * @throws SimulationError when a specification names a contrast that the region's protocols do not have.
 */
export function simulateStudy(options: StudyOptions): SimulatedStudy {
  const { seed, patient: index } = options;
  if (!Number.isInteger(index) || index < 0) {
    throw new SimulationError(`simulate a study: the patient is an index from 0 up, got ${index}`);
  }
  const { labels, study = 0 } = options;
  const person = new Stream(seed, 'patient', index);
  const patient = drawPatient(seed, index, person.child('person'));
  const region = options.region ?? (labels ? 'head' : regionOf(seed, index));
  const drawnScene = BUILDERS[region](patient, person.child('anatomy'));
  const stream = study === 0 ? person : person.child('study', study);
  const scene = labels ? sceneOf(drawnScene, labels) : drawnScene;
  const scanner = drawScanner(stream.child('scanner'));
  const specs = chooseSpecs(options.series, stream.child('choice'));
  const chosen = chooseProtocols(scene, specs, stream.child('protocols'));
  const raster = labels
    ? labelRaster(labels.volume, labels.tissues, stream.child('labels'))
    : new AnatomyRaster(scene.anatomy, 2048);
  const taken: SeriesFacts[] = [];
  const series = chosen.map(({ protocol, plane, spec }, n): SimulatedSeries => {
    const drawn = drawAcquisition(scene, protocol, plane, scanner, options.size ?? 'small', stream, n);
    const acquisition: Acquisition = { ...drawn.acquisition, ...spec.acquisition };
    const acquired = acquire(raster, acquisition, stream.child('acquire', n));
    const seen = scene.findings.filter((finding) => isSeen(finding, scene, acquired.seenMm3));
    const facts: SeriesFacts = {
      protocol,
      plane,
      bodyPartName: scene.bodyPartName,
      tesla: acquisition.tesla,
      thicknessMm: acquisition.thickness,
    };
    taken.push(facts);
    const words = stream.child('words', n);
    const findingsText = labels ? '' : findingSentences(seen, scene.normal, words).join(' ');
    const text = `${techniqueSentence(facts, words)} ${findingsText}`.trim();
    const header: MrHeader = {
      ...baseHeader(patient, scene, scanner, options),
      seriesUid: newUid(uidName(options, region, `series/${n}`)),
      seriesNumber: n + 2,
      fieldStrengthT: acquisition.tesla,
      seriesDescription: seriesName(protocol, plane, scanner.manufacturer),
      protocolName: seriesName(protocol, plane, scanner.manufacturer),
      sequenceName: sequenceName(protocol, scanner.manufacturer),
      scanningSequence: scanningSequence(protocol.technique),
      acquisitionType: is3d(protocol.technique) ? '3D' : '2D',
      ...drawn.timing,
      sliceThickness: acquisition.thickness,
      ...(protocol.contrast === 'DWI' ? { diffusionBValue: protocol.b ?? 800 } : {}),
      ...(hasAgent(protocol) ? { contrastAgent: 'Gadobutrol' } : {}),
      ...(findingsText !== '' && { comments: findingsText }),
      skipSlices: acquired.missingSlices,
    };
    return {
      ...acquired,
      header,
      text,
      findingsText,
      findings: seen,
      contrast: protocol.contrast,
      plane,
      bodyPart: scene.bodyPart,
      acquisition,
    };
  });
  const report = studyReport(scene.bodyPartName, taken, scene.findings, scene.normal, stream.child('report'));
  return {
    patient,
    region,
    report,
    findings: scene.findings.map(({ name }) => name),
    series,
    structures: raster.structures,
    labels: (geometry) => labelVolume(raster, geometry),
  };
}

/** A scene about a label map, of which nothing is known: no findings, nothing normal, and nothing that takes up an agent. */
function sceneOf(scene: Scene, { volume, tissues }: NonNullable<StudyOptions['labels']>): Scene {
  // Stacks are centred on the brain: a map may reach down to the shoulders.
  const brain = new Map(
    [...tissues].filter(([, tissue]) => tissue === 'white matter' || tissue === 'grey matter'),
  );
  return {
    ...scene,
    findings: [],
    normal: [],
    centre: labelledMiddle(volume, brain) ?? labelledMiddle(volume, tissues) ?? scene.centre,
    protocols: scene.protocols.filter((protocol) => !hasAgent(protocol)),
  };
}

/** Blocks of patients have every region once, in random order. */
function regionOf(seed: number, index: number): Region {
  const block = Math.floor(index / REGIONS.length);
  return new Stream(seed, 'regions', block).shuffle(REGIONS)[index % REGIONS.length]!;
}

function chooseSpecs(series: StudyOptions['series'], s: Stream): readonly SeriesSpec[] {
  if (typeof series === 'object') return series;
  const count = series ?? 2 + s.int(3);
  if (!Number.isInteger(count) || count < 1) {
    throw new SimulationError(`simulate a study: it has at least one series, got ${count}`);
  }
  return Array.from({ length: count }, () => ({}));
}

interface Choice {
  readonly protocol: Protocol;
  readonly plane: Plane;
  readonly spec: SeriesSpec;
}

/** A protocol and plane for each specification; none twice where the region has enough of them. */
function chooseProtocols(scene: Scene, specs: readonly SeriesSpec[], s: Stream): Choice[] {
  const taken = new Set<string>();
  return specs.map((spec) => {
    const fitting = scene.protocols.filter(
      (p) => spec.contrast === undefined || p.contrast === spec.contrast,
    );
    if (fitting.length === 0) {
      const known = [...new Set(scene.protocols.map(({ contrast }) => contrast))].join(', ');
      throw new SimulationError(
        `simulate a study: the ${scene.bodyPartName} is examined with ${known}, got ${spec.contrast ?? ''}; choose one of these`,
      );
    }
    const pairs = fitting.flatMap((protocol) =>
      (spec.plane ? [spec.plane] : protocol.planes).map((plane) => ({
        protocol,
        plane,
        weight: (protocol.weight ?? 1) / protocol.planes.length,
        key: `${protocol.contrast} ${protocol.technique} ${String(protocol.fatSat)} ${plane}`,
      })),
    );
    const fresh = pairs.filter(({ key }) => !taken.has(key));
    const pool = fresh.length > 0 ? fresh : pairs;
    let at = s.uniform(
      0,
      pool.reduce((sum, { weight }) => sum + weight, 0),
    );
    const pick = pool.find(({ weight }) => (at -= weight) < 0) ?? pool[pool.length - 1]!;
    taken.add(pick.key);
    return { protocol: pick.protocol, plane: pick.plane, spec };
  });
}

function drawAcquisition(
  scene: Scene,
  p: Protocol,
  plane: Plane,
  scanner: Scanner,
  size: Size,
  study: Stream,
  n: number,
): { acquisition: Acquisition; timing: ReturnType<typeof drawTiming>['timing'] } {
  const rule = SIZES[size];
  // Diffusion images and their ADC map come from one acquisition: the same geometry and the same timing.
  const s = p.technique === 'epi' ? study.child('diffusion') : study.child('geometry', n);
  const fov = s.uniform(...p.fov);
  const pixel = Math.min(rule.pixelMm, fov / s.uniform(...rule.across)) * (p.technique === 'epi' ? 1.2 : 1);
  const columns = Math.ceil(fov / pixel);
  const rows = Math.ceil(columns * s.uniform(0.8, 1));
  const wanted = s.uniform(...p.thickness);
  const gap = is3d(p.technique) ? 0 : s.choice([0, 0.1, 0.1, 0.2, 0.3]);
  const natural = wanted * (1 + gap);
  const fewest = Math.max(natural, Math.min(rule.distanceMm, p.cover / rule.slices), pixel);
  const slices = Math.max(6, Math.min(rule.slices, Math.round(p.cover / fewest)));
  const tilt = s.chance(0.55) ? s.vary(0, 5) : 0;
  const turn = plane === 'sagittal' ? ([0, 0, tilt] as const) : ([tilt, 0, 0] as const);
  const missing: number[] = [];
  if (s.chance(0.12)) for (let m = 0; m < 1 + s.int(2); m++) missing.push(1 + s.int(slices - 2));
  const { sequence, timing } = drawTiming(p, scanner.tesla, s);
  const shift = [s.vary(0, 4), s.vary(0, 4), s.vary(0, 4)] as const;
  const acquisition: Acquisition = {
    plane,
    shape: [columns, rows, slices],
    spacing: [fov / columns, fov / columns, fewest],
    thickness: fewest / (1 + gap),
    centre: [scene.centre[0] + shift[0], scene.centre[1] + shift[1], scene.centre[2] + shift[2]],
    tilt: turn,
    reversed: s.chance(0.3),
    sequence,
    tesla: scanner.tesla,
    adcMap: p.contrast === 'ADC',
    noise: s.uniform(0.006, 0.026) * (p.technique === 'epi' ? 0.7 : 1) * (scanner.tesla < 2 ? 1.2 : 1),
    bias: s.uniform(0.05, 0.3) * (scanner.tesla > 2 ? 1.15 : 0.8),
    backCoil: p.backCoil === true,
    ghost: s.chance(0.15) ? s.uniform(0.01, 0.04) : 0,
    ringing: s.chance(0.3) ? s.uniform(0.2, 0.7) : 0,
    missing,
  };
  return { acquisition, timing };
}

/** A finding with no structure of its own changes the whole organ; others must lie in the stack. */
function isSeen(finding: Finding, scene: Scene, seenMm3: Float64Array): boolean {
  if (finding.structure === undefined) return true;
  const structure = scene.anatomy.structures.find(({ name }) => name === finding.structure);
  return structure !== undefined && seenMm3[structure.id]! >= SEEN_MM3;
}

const SEEN_MM3 = 40;

function baseHeader(patient: Patient, scene: Scene, scanner: Scanner, options: StudyOptions) {
  const { patient: index, study = 0 } = options;
  const of = (what: string): string => newUid(uidName(options, scene.bodyPart, what));
  return {
    patientId: patient.id,
    patientName: patient.name,
    birthDate: patient.birthDate,
    sex: patient.sex,
    studyUid: of('study'),
    frameOfReferenceUid: of('frame'),
    studyDate: `2024${twoDigits(1 + ((index + study) % 12))}${twoDigits(1 + ((index + study) % 28))}`,
    studyDescription: `MRI ${scene.bodyPartName}`,
    manufacturer: scanner.manufacturer,
    model: scanner.model,
    bodyPart: scene.bodyPart,
  };
}

const uidName = ({ seed, patient, study = 0 }: StudyOptions, region: string, what: string): string =>
  `precess/${seed}/${patient}/${region}/${study === 0 ? '' : `study-${study}/`}${what}`;

const twoDigits = (n: number): string => String(n).padStart(2, '0');

function labelVolume(raster: LabelSource, geometry: Geometry): Volume {
  const affine = stackAffine(geometry);
  const [ni, nj, nk] = geometry.shape;
  const data = new Uint8Array(ni * nj * nk);
  const column = (n: 0 | 1 | 2) => [affine[0][n], affine[1][n], affine[2][n]] as const;
  for (let k = 0; k < nk; k++) {
    const at = (a: 0 | 1 | 2): number => affine[a][3] + k * affine[a][2];
    raster.plane([at(0), at(1), at(2)], column(0), column(1), ni, nj);
    for (let j = 0; j < nj; j++) {
      if (raster.line(j)) data.set(raster.row.label.subarray(0, ni), ni * (j + nj * k));
    }
  }
  return { data, shape: geometry.shape, affine, slope: 1, intercept: 0, valid: null };
}
