/** What motion does to an image: lines of k-space that were measured while the patient lay elsewhere. */
import type { Volume } from '../../src/volume/volume.js';

/**
 * The magnitude image of `volume` when, at each share of the scan (0 to 1) in slice k, the body was `shift` pixels away
 * from its place, [along the rows, down the columns]. Lines of k-space run along the rows and are taken in order.
 */
export function moved(
  volume: Volume,
  shift: (share: number, k: number) => readonly [number, number],
): Volume {
  const [ni, nj, nk] = volume.shape;
  const data = new Uint16Array(volume.data.length);
  const turn = Array.from({ length: nj }, (_, n) => (2 * Math.PI * n) / nj);
  const [cos, sin] = [Float64Array.from(turn, Math.cos), Float64Array.from(turn, Math.sin)];
  for (let k = 0; k < nk; k++) {
    const at = k * ni * nj;
    const sums = { re: new Float64Array(ni * nj), im: new Float64Array(ni * nj) };
    const [re, im] = [new Float64Array(ni), new Float64Array(ni)];
    const line = { re: new Float64Array(ni), im: new Float64Array(ni) };
    for (let f = 0; f < nj; f++) {
      re.fill(0);
      im.fill(0);
      for (let j = 0; j < nj; j++) {
        const t = (f * j) % nj;
        for (let i = 0; i < ni; i++) {
          const value = volume.data[at + j * ni + i]!;
          re[i]! += cos[t]! * value;
          im[i]! -= sin[t]! * value;
        }
      }
      // From the line's place in k-space, -nj/2 to nj/2, to when it was taken.
      const place = f < nj / 2 ? f : f - nj;
      const [di, dj] = shift(place / nj + 0.5, k);
      const phase = (-2 * Math.PI * place * dj) / nj;
      const [c, s] = [Math.cos(phase), Math.sin(phase)];
      for (let i = 0; i < ni; i++) {
        const from = (((i - di) % ni) + ni) % ni;
        const low = Math.floor(from);
        const part = from - low;
        const high = (low + 1) % ni;
        const r = re[low]! * (1 - part) + re[high]! * part;
        const m = im[low]! * (1 - part) + im[high]! * part;
        line.re[i] = r * c - m * s;
        line.im[i] = r * s + m * c;
      }
      for (let j = 0; j < nj; j++) {
        const t = (f * j) % nj;
        const x = cos[t]!;
        const y = sin[t]!;
        for (let i = 0; i < ni; i++) {
          sums.re[j * ni + i]! += line.re[i]! * x - line.im[i]! * y;
          sums.im[j * ni + i]! += line.re[i]! * y + line.im[i]! * x;
        }
      }
    }
    for (let n = 0; n < ni * nj; n++)
      data[at + n] = Math.min(65535, Math.round(Math.hypot(sums.re[n]!, sums.im[n]!) / nj));
  }
  return { ...volume, data };
}
