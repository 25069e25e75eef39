// Simulated MR series for the ingest benchmark: a body of smooth tissues with texture and coil shading in air, and the
// noise of a magnitude image (Gudbjartsson and Patz 1995).
import { join } from 'node:path';

const { newUid, writeDicomSeries } = await import(
  new URL('../../dist/formats/dicom/index.js', import.meta.url).href
);

/** Noise of a standard deviation of 14 in stored units, where muscle has about 300: a signal to noise ratio of 20. */
const NOISE = 14;
/** Centre, half axes (shares of the half width) and brightness of ellipsoids; later ones lie over earlier ones. */
const TISSUES = [
  [0, 0, 0, 0.8, 0.6, 3, 620],
  [0, 0, 0, 0.74, 0.54, 3, 300],
  [0, 0.22, 0, 0.14, 0.12, 3, 480],
  [-0.34, -0.05, 0, 0.2, 0.25, 0.7, 380],
  [0.36, -0.08, 0.1, 0.16, 0.2, 0.8, 210],
  [0, -0.2, 0.1, 0.18, 0.15, 0.6, 900],
  [0, 0.34, 0, 0.05, 0.05, 3, 950],
];

/** Writes `count` series of `shape` into folders of their own, uncompressed. Returns the bytes of their voxels. */
export async function writeSeries(source, count, shape) {
  const mm = 224 / shape[0];
  const affine = [
    [-mm, 0, 0, 112],
    [0, -mm, 0, 112],
    [0, 0, 3, -45],
    [0, 0, 0, 1],
  ];
  const noise = noises(7);
  for (let n = 0; n < count; n++) {
    const volume = { data: image(shape, n, noise), shape, affine, slope: 1, intercept: 0, valid: null };
    await writeDicomSeries(join(source, String(n)), volume, {
      patientId: `P-${n % 6}`,
      patientName: 'Test^Person',
      birthDate: '19610402',
      sex: 'F',
      studyUid: newUid(`study ${n % 6}`),
      seriesUid: newUid(`series ${n}`),
      frameOfReferenceUid: newUid('frame'),
      studyDate: '20110707',
      manufacturer: 'SIEMENS',
      model: 'Skyra',
      fieldStrengthT: 3,
      seriesDescription: 't2_tse_tra',
      protocolName: 't2_tse_tra',
      bodyPart: 'PROSTATE',
      sequenceName: '*tse2d1_25',
      scanningSequence: 'SE',
      acquisitionType: '2D',
      repetitionTime: 5000,
      echoTime: 100,
      flipAngle: 160,
      sliceThickness: 3,
      seriesNumber: n + 1,
    });
  }
  return count * shape[0] * shape[1] * shape[2] * 2;
}

function image([ni, nj, nk], seed, noise) {
  const data = new Uint16Array(ni * nj * nk);
  for (let k = 0, at = 0; k < nk; k++)
    for (let j = 0; j < nj; j++)
      for (let i = 0; i < ni; i++, at++) {
        const [x, y, z] = [(2 * i) / ni - 1, (2 * j) / nj - 1, (2 * k) / nk - 1];
        let signal = 0;
        for (const [cx, cy, cz, a, b, c, bright] of TISSUES)
          if (((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 + ((z - cz) / c) ** 2 < 1) signal = bright;
        signal *=
          1 +
          0.15 * Math.sin(9 * x + seed) * Math.cos(7 * y - 2 * z) +
          0.04 * Math.sin(41 * x) * Math.sin(37 * y);
        signal *= 1.25 - 0.4 * (x * x + y * y);
        data[at] = Math.round(Math.hypot(signal + NOISE * noise(), NOISE * noise()));
      }
  return data;
}

/** Numbers of a normal distribution, from a table that is walked at random. */
function noises(seed) {
  let state = seed;
  const random = () => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  const table = Float64Array.from(
    { length: 65536 },
    () => Math.sqrt(-2 * Math.log((random() + 1) / 2 ** 32)) * Math.cos((2 * Math.PI * random()) / 2 ** 32),
  );
  return () => table[random() >>> 16];
}
