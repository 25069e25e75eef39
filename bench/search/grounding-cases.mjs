// Images in which it is known where things are, for grounding.mjs: { region, volume, labels, valuesOf(phrase) }.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readNiftiFile } from '../../dist/formats/nifti/index.js';
import { FREESURFER_TISSUES, simulateStudy } from '../../dist/simulate/index.js';

/** Phrase → what it means, by region: names of simulated structures, or values of label maps. */
export const PHRASES = {
  head: {
    'lateral ventricles': ['ventricle', 'choroid plexus'],
    brainstem: ['brainstem'],
    thalamus: ['thalamus'],
  },
  spine: {
    'spinal cord': ['spinal cord'],
    'intervertebral disc': ['disc annulus', 'disc nucleus', 'degenerate disc'],
  },
  chest: { 'right lung': ['right lung'], heart: ['right heart blood', 'left heart blood', 'myocardium'] },
  abdomen: {
    liver: ['liver'],
    spleen: ['spleen'],
    'left kidney': ['left kidney cortex', 'left kidney medulla'],
  },
  pelvis: {
    'urinary bladder': ['urinary bladder', 'bladder wall'],
    prostate: [
      ...['prostate capsule', 'peripheral zone', 'peripheral zone septum', 'peripheral zone cancer'],
      ...['prostatitis', 'transition zone', 'transition zone cancer', 'surgical capsule'],
      ...['prostate nodule', 'stromal tissue', 'anterior stroma'],
    ],
  },
  knee: { meniscus: ['meniscus', 'meniscal tear'], 'infrapatellar fat pad': ['infrapatellar fat pad'] },
  // FreeSurfer's values.
  'head, label maps': {
    ventricles: [4, 5, 14, 15, 43, 44],
    brainstem: [16],
    cerebellum: [7, 8, 46, 47],
    thalamus: [10, 49],
  },
  // TotalSegmentator's "total_mr" of its own example, and the cords that people drew in the toolbox's.
  'abdomen, real': { liver: [5], spleen: [1], 'left kidney': [3], stomach: [6] },
  'spine, real': { 'spinal cord': [1] },
};

const SIMULATED = Object.keys(PHRASES).filter((region) => !region.includes(', '));

/** Studies that are simulated throughout, a series of each. */
export async function* simulatedCases({ seed, studies, size }) {
  for (const region of SIMULATED)
    for (let patient = 0; patient < studies; patient++) {
      const study = simulateStudy({ seed, patient, region, size, series: 1 });
      yield {
        region,
        volume: study.series[0].volume,
        labels: study.labels(study.series[0].acquisition),
        valuesOf: (phrase) =>
          study.structures.filter(({ name }) => PHRASES[region][phrase].includes(name)).map(({ id }) => id),
      };
    }
}

/** A simulated series of each labelled head in `data`. */
export async function* labelMapCases(data, { seed, size }) {
  const folder = join(data, 'label-maps', 'brain-synthseg');
  const names = (await readdir(folder)).filter((name) => name.endsWith('.nii.gz')).sort();
  for (const [patient, name] of names.entries()) {
    const labels = (await readNiftiFile(join(folder, name))).frame(0);
    const given = { volume: labels, tissues: FREESURFER_TISSUES };
    const { series } = simulateStudy({ seed, patient, size, series: 1, labels: given });
    yield { ...known('head, label maps', labels), volume: series[0].volume };
  }
}

/** Real images of `data` with labels. */
export async function* realCases(data) {
  const at = async (...parts) => (await readNiftiFile(join(data, ...parts))).frame(0);
  for (const [region, folder, image, labels] of [
    ['abdomen, real', 'body-totalseg', 'example_mr_sm', 'example_seg_mr'],
    ['spine, real', 'spine-sct', 't2', 't2_seg-manual'],
    ['spine, real', 'spine-sct', 't1w', 't1w_seg-manual'],
  ])
    yield {
      ...known(region, await at(folder, `${labels}.nii.gz`)),
      volume: await at(folder, `${image}.nii.gz`),
    };
}

const known = (region, labels) => ({ region, labels, valuesOf: (phrase) => PHRASES[region][phrase] });
