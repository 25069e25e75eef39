/**
 * Reads every DICOM series of the real data with Precess and with dcm2niix and writes the table of docs/dicom.md: how many
 * volumes of which shape each makes, how far their affines are apart, and whether all voxels are equal.
 * Needs the build, dcm2niix on PATH and the data ($PRECESS_DATA, else shared/data beside the repository).
 *
 *   npm run build && node scripts/compare-dcm2niix.mjs [--check]
 *
 * --check writes nothing and fails where the table in docs differs.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { format } from 'prettier';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const data = process.env.PRECESS_DATA || at('../../shared/data');
const page = at('../docs/dicom.md');
const dist = process.env.PRECESS_DIST
  ? pathToFileURL(`${process.env.PRECESS_DIST}/`)
  : new URL('../dist/', import.meta.url);
if (!existsSync(data)) {
  process.stderr.write(`compare-dcm2niix: ${data} must be the folder of the real data; set PRECESS_DATA\n`);
  process.exit(1);
}
const { groupSeries, isDicom, loadSeries, readDicomHeader } = await import(
  new URL('formats/dicom/index.js', dist).href
);
const { readNiftiFile } = await import(new URL('formats/nifti/index.js', dist).href);
const { reorient } = await import(new URL('volume/orientation.js', dist).href);

/** Folders that hold DICOM files themselves. */
const folders = new Map();
for (const entry of readdirSync(data, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || /\.(nii|gz|json|md|txt|tsv|csv|h5|bval|bvec)$/i.test(entry.name)) continue;
  const path = join(entry.parentPath, entry.name);
  if (!isDicom(readFileSync(path).subarray(0, 352))) continue;
  folders.set(entry.parentPath, [...(folders.get(entry.parentPath) ?? []), path]);
}

/** series UID → the 3D frames that dcm2niix makes, and the shapes of its files. */
async function converted(dir) {
  const out = mkdtempSync(join(tmpdir(), 'precess-dcm2niix-'));
  try {
    execFileSync('dcm2niix', ['-d', '0', '-b', 'n', '-z', 'n', '-f', '%j', '-o', out, dir], {
      stdio: 'pipe',
    });
    const made = new Map();
    for (const name of readdirSync(out).filter((file) => file.endsWith('.nii'))) {
      const uid = /^[0-9.]+\d/.exec(name)[0];
      const image = await readNiftiFile(join(out, name));
      const one = made.get(uid) ?? { frames: [], files: [] };
      for (let t = 0; t < image.frames; t++) one.frames.push(reorient(image.frame(t), 'RAS'));
      one.files.push(image.frame(0).shape.join('×') + (image.frames > 1 ? `×${image.frames}` : ''));
      made.set(uid, one);
    }
    return made;
  } finally {
    rmSync(out, { recursive: true });
  }
}

const value = ({ data: stored, slope, intercept }, n) => stored[n] * slope + intercept;
const equal = (a, b) =>
  a.data.length === b.data.length && a.data.every((_, n) => value(a, n) === value(b, n));
const apart = (a, b) =>
  Math.max(...a.affine.flatMap((row, r) => row.map((mm, c) => Math.abs(mm - b.affine[r][c]))));

/** Without the positions at which no slice was found, as dcm2niix stacks slices. */
function closed(volume, missing) {
  const area = volume.shape[0] * volume.shape[1];
  const kept = Array.from({ length: volume.shape[2] }, (_, k) => k).filter((k) => !missing.includes(k));
  const stored = new volume.data.constructor(area * kept.length);
  kept.forEach((k, n) => stored.set(volume.data.subarray(k * area, (k + 1) * area), n * area));
  return { ...volume, data: stored, shape: [volume.shape[0], volume.shape[1], kept.length], valid: null };
}

const GAP =
  'the position of the lost slice: Image Position (Patient) says where each slice is (PS3.3 C.7.6.2.1.1), so that ' +
  'Precess leaves the place empty and marks it. dcm2niix moves the slices together in one file, which puts those beyond ' +
  'the gap in the wrong place, and interpolates to even distances in another, which makes up voxels. **Precess is right**';

const rows = [];
for (const [dir, paths] of [...folders].sort(([a], [b]) => (a < b ? -1 : 1))) {
  const { series, skipped } = groupSeries(await Promise.all(paths.map((path) => readDicomHeader(path))));
  if (skipped.length > 0) process.stderr.write(`${dir}: ${skipped.length} files skipped\n`);
  const theirs = await converted(dir);
  for (const uid of new Set(series.map((one) => one.seriesUid))) {
    const stacks = series.filter((one) => one.seriesUid === uid);
    const { frames = [], files = [] } = theirs.get(uid) ?? {};
    const left = [...frames];
    const gap = stacks.some(({ missingSlices }) => missingSlices.length > 0);
    let same = 0;
    let distance = 0;
    for (const stack of stacks) {
      const volume = await loadSeries(stack);
      const ours = reorient(gap ? closed(volume, stack.missingSlices) : volume, 'RAS');
      const fits = left.filter((frame) => equal(ours, frame)).sort((a, b) => apart(ours, a) - apart(ours, b));
      if (fits.length === 0) continue;
      same++;
      distance = Math.max(distance, apart(ours, fits[0]));
      left.splice(left.indexOf(fits[0]), 1);
    }
    const axes = [...new Set(stacks.flatMap((stack) => stack.axes.map(({ name }) => name)))].join(', ');
    const differences = [
      gap && GAP,
      stacks.length > 1 &&
        files.length === 1 &&
        `one 4D file: the same volumes, which Precess keeps apart by ${axes}. Both hold what the files hold`,
      !gap && left.length > 0 && `dcm2niix has ${left.length} volumes that Precess has not`,
      same < stacks.length && `${stacks.length - same} volumes differ`,
    ].filter(Boolean);
    rows.push([
      relative(data, dir),
      stacks.map(({ shape }) => shape.join('×')).join(', '),
      axes || '–',
      files.join(', ') || 'none',
      `${same} of ${stacks.length}`,
      gap ? 'see right' : distance < 1e-3 ? '< 0.001' : distance.toFixed(3),
      differences.join('; ') || 'none',
    ]);
  }
}
// It exits with 3 after telling its version.
const version = spawnSync('dcm2niix', ['-v'], { encoding: 'utf8' }).stdout.match(/v1\.\d+\.\d+/)[0];
const head = ['series', 'Precess', 'axes', 'dcm2niix', 'equal voxels', 'affines apart (mm)', 'difference'];
const table = [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
const made = `${rows.length} series in ${folders.size} folders, dcm2niix ${version}; both sides turned to RAS+:\n\n${table}`;

const before = readFileSync(page, 'utf8');
const marked = /(<!-- compare-dcm2niix -->\n)[^]*(<!-- \/compare-dcm2niix -->)/;
const after = await format(
  before.replace(marked, (_, start, end) => `${start}\n${made}\n\n${end}`),
  { parser: 'markdown', printWidth: 120 },
);
if (!process.argv.includes('--check')) writeFileSync(page, after);
else if (after !== before) {
  process.stderr.write(
    'compare-dcm2niix: docs/dicom.md is not what comes out now; run this without --check\n',
  );
  process.exit(1);
}
