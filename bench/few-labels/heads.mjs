// Simulated heads with a disease that shows: axial FLAIR series, in memory; labels are the findings that lie in the slices.
const dist = (path) => new URL(`../../dist/${path}`, import.meta.url).href;
const { simulateStudy } = await import(dist('simulate/index.js'));

/** What is asked of a head, by the name of a finding. */
export const DISEASES = {
  ventricles: (name) => name === 'enlarged ventricles',
  infarct: (name) => / infarct$/.test(name),
};

/** One FLAIR series of each of `count` patients, with the names of its findings. */
export function* simulatedHeads(count) {
  for (let patient = 0; patient < count; patient++) {
    const options = {
      seed: 70,
      patient,
      region: 'head',
      series: [{ contrast: 'FLAIR', plane: 'axial' }],
      size: 'small',
    };
    const [{ volume, findings }] = simulateStudy(options).series;
    yield {
      id: `head-${patient}`,
      patientId: `head-${patient}`,
      volume,
      findings: findings.map(({ name }) => name),
    };
  }
}
