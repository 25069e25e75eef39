// Draws heat maps of "precess ground" over their images, a row each: the axial slice through a place that you name, the
// same with heat, and the slice of the hottest voxel. A ring marks the place, a cross the hottest voxel.
//   node scripts/heat-picture.mjs OUT.png --image SRC --heat HEAT.nii.gz --at=x,y,z [--image … --heat … --at=…]
// Build first (npm run build). Places are RAS+ mm. Heat is red from its 90th percentile on, and darkest at its highest.
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { encode } from 'fast-png';
import { readNiftiFile } from '../dist/formats/nifti/index.js';
import { openImages } from '../dist/tasks/images.js';
import { apply, invert } from '../dist/volume/affine.js';
import { percentile } from '../dist/volume/intensity.js';
import { drawSlice, frameOf } from '../dist/volume/slice.js';
import { Prepared } from '../dist/volume/tokens.js';

const several = { type: 'string', multiple: true, default: [] };
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { image: several, heat: several, at: several, pixels: { type: 'string', default: '160' } },
});
const [out] = positionals;
const rows = values.image.length;
if (out === undefined || rows === 0 || values.heat.length !== rows || values.at.length !== rows) {
  console.error('usage: node scripts/heat-picture.mjs OUT.png --image SRC --heat HEAT.nii.gz --at=x,y,z');
  process.exit(2);
}
const SIDE = Number(values.pixels);
const RED = [255, 40, 20];
const YELLOW = [255, 230, 60];
const sheet = { width: 3 * SIDE, height: rows * SIDE, data: new Uint8Array(9 * SIDE * SIDE * rows) };
const dot = (x, y, colour, share = 1) => {
  const n = (Math.round(y) * sheet.width + Math.round(x)) * 3;
  for (let c = 0; c < 3; c++)
    sheet.data[n + c] = Math.round((1 - share) * sheet.data[n + c] + share * colour[c]);
};

for (let row = 0; row < rows; row++) {
  let image;
  for await (const one of openImages(values.image[row])) image ??= one.volume;
  const heat = (await readNiftiFile(values.heat[row])).frame(0);
  const at = values.at[row].split(',').map(Number);
  const { place, top, low, sorted } = hottest(heat);
  const prepared = new Prepared(image);
  const { centreMm, sideMm } = frameOf(prepared, 'axial');
  const inverse = invert(heat.affine);
  const heatAt = (mm) => {
    const [i, j, k] = apply(inverse, mm).map(Math.round);
    const [ni, nj, nk] = heat.shape;
    if (i < 0 || j < 0 || k < 0 || i >= ni || j >= nj || k >= nk) return NaN;
    const n = i + ni * (j + nj * k);
    return heat.valid?.[n] === 0 ? NaN : heat.data[n];
  };
  [at, at, place].forEach((through, column) => {
    const { data } = drawSlice(prepared, 'axial', SIDE, through[2]);
    const step = sideMm / SIDE;
    const pixel = ([x, y]) => [
      column * SIDE + (centreMm[0] + sideMm / 2 - x) / step,
      row * SIDE + (centreMm[1] + sideMm / 2 - y) / step,
    ];
    for (let r = 0; r < SIDE; r++)
      for (let c = 0; c < SIDE; c++) {
        const [x, y] = [column * SIDE + c, row * SIDE + r];
        const grey = data[r * SIDE + c];
        dot(x, y, [grey, grey, grey]);
        const mm = [
          centreMm[0] + sideMm / 2 - (c + 0.5) * step,
          centreMm[1] + sideMm / 2 - (r + 0.5) * step,
          through[2],
        ];
        const share = (heatAt(mm) - low) / (top - low);
        if (column > 0 && share > 0) dot(x, y, RED, 0.6 * share);
      }
    const [x, y] = pixel(through);
    if (column < 2)
      for (let a = 0; a < 2 * Math.PI; a += 0.05) dot(x + 12 * Math.cos(a), y + 12 * Math.sin(a), YELLOW);
    for (let d = -6; column === 2 && d <= 6; d++) {
      dot(x + d, y, YELLOW);
      dot(x, y + d, YELLOW);
    }
  });
  const apart = Math.hypot(...place.map((mm, d) => mm - at[d]));
  const mm = (point) => point.map((one) => one.toFixed(0)).join(', ');
  const cooler = sorted.findIndex((one) => one >= heatAt(at)) / sorted.length;
  console.log(
    `row ${row + 1}: hottest at ${mm(place)}, ${apart.toFixed(0)} mm from ${mm(at)}; ` +
      (cooler < 0 ? 'no heat there' : `${(100 * cooler).toFixed(0)} % of the map are cooler than that place`),
  );
}
await writeFile(out, encode({ ...sheet, channels: 3, depth: 8 }, { zlib: { level: 9 } }));
console.log(`wrote ${out}`);

/** The hottest voxel in RAS+ mm, its heat, all that was seen in ascending order, and the 90th percentile of it. */
function hottest({ data, shape, affine, valid }) {
  const seen = [...data.keys()].filter((n) => valid?.[n] !== 0);
  const best = seen.reduce((a, b) => (data[b] > data[a] ? b : a));
  const [ni, nj] = shape;
  const place = apply(affine, [best % ni, Math.floor(best / ni) % nj, Math.floor(best / (ni * nj))]);
  const sorted = Float32Array.from(seen, (n) => data[n]).sort();
  return { place, top: data[best], sorted, low: percentile(sorted, 0.9) };
}
