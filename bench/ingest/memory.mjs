// Ingests a volume of 2 GB, as plain and as gzipped NIfTI, and reads a crop of it: peak memory, time, bytes read.
//   node bench/ingest/memory.mjs [--slices 1024]
// Prints one JSON document; exits with 1 when a process took 1 GB of memory or more.
import { execFileSync } from 'node:child_process';
import { open, mkdtemp, rm } from 'node:fs/promises';
import { createReadStream, createWriteStream } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createGzip } from 'node:zlib';

const { values } = parseArgs({ options: { slices: { type: 'string', default: '1024' } } });
const LIMIT_MB = 1000;
const SIDE = 1024;
const slices = Number(values.slices);
const bin = fileURLToPath(new URL('../../bin/precess', import.meta.url));
const library = new URL('../../dist/corpus/index.js', import.meta.url).href;
const { writeNifti } = await import(new URL('../../dist/formats/nifti/index.js', import.meta.url).href);

const dir = await mkdtemp(join(tmpdir(), 'precess-memory-'));
try {
  const plain = join(dir, 'head_T1w.nii');
  await writeVolume(plain);
  await pipeline(
    createReadStream(plain),
    createGzip({ level: 1 }),
    createWriteStream(join(dir, 'knee_T1w.nii.gz')),
  );
  const runs = {};
  for (const name of ['head_T1w.nii', 'knee_T1w.nii.gz']) runs[name] = ingest(name);
  const peaks = Object.values(runs).flatMap((one) => [one.peakMB, one.crop.peakMB]);
  console.log(JSON.stringify({ bytes: 2 * SIDE * SIDE * slices, ...runs }, null, 2));
  process.exitCode = Math.max(...peaks) < LIMIT_MB ? 0 : 1;
} finally {
  await rm(dir, { recursive: true, force: true });
}

/** A sphere of noise on noise, 16 bits. */
async function writeVolume(path) {
  const affine = [
    [-0.2, 0, 0, 100],
    [0, -0.2, 0, 100],
    [0, 0, 0.2, -100],
    [0, 0, 0, 1],
  ];
  const small = { shape: [2, 2, 2], affine, slope: 1, intercept: 0, valid: null };
  const header = writeNifti({ ...small, data: new Int16Array(8) }).slice(0, 352);
  [SIDE, SIDE, slices].forEach((n, at) => new DataView(header.buffer).setInt16(42 + 2 * at, n, true));
  const file = await open(path, 'w');
  await file.write(header);
  const slice = new Int16Array(SIDE * SIDE);
  let state = 1;
  for (let k = 0; k < slices; k++) {
    for (let j = 0, n = 0; j < SIDE; j++)
      for (let i = 0; i < SIDE; i++, n++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        const inside = Math.hypot(i - SIDE / 2, j - SIDE / 2, k - slices / 2) < 0.4 * SIDE;
        slice[n] = (inside ? 600 : 0) + (state >>> 25);
      }
    await file.write(new Uint8Array(slice.buffer));
  }
  await file.close();
}

/** Ingests one file in a process of its own, and reads a box of 64³ voxels from its middle in another. */
function ingest(name) {
  const corpus = join(dir, `corpus-${name}`);
  const start = performance.now();
  const told = measured(
    `process.argv = [process.argv[0], ${JSON.stringify(bin)}, 'ingest', ${JSON.stringify(join(dir, name))},
       '--corpus', ${JSON.stringify(corpus)}];
     await import(${JSON.stringify(bin)});`,
  );
  const seconds = (performance.now() - start) / 1000;
  const crop = measured(
    `const { readFileSync } = await import('node:fs');
     const { Corpus } = await import(${JSON.stringify(library)});
     const corpus = await Corpus.open(${JSON.stringify(corpus)});
     const [one] = await corpus.list();
     const read = () => Number(/rchar: (\\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))[1]);
     await corpus.region(one.id, [0, 0, 0], [1, 1, 1]);
     const before = read();
     const { data } = await corpus.region(one.id, [500, 500, ${slices / 2 - 12}], [64, 64, 64]);
     told.bytesRead = read() - before;
     told.voxels = data.length;
     corpus.close();`,
  );
  return { peakMB: told.peakMB, seconds: Math.round(seconds), crop };
}

/** Runs a module in a new process; what it puts into \`told\`, and its peak memory. */
function measured(module) {
  const text = `const told = {};
    process.on('exit', () => {
      told.peakMB = Math.round(process.resourceUsage().maxRSS / 1024);
      process.stdout.write(JSON.stringify(told));
    });
    ${module}`;
  const args = ['--input-type=module', '-e', text];
  return JSON.parse(
    execFileSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
  );
}
