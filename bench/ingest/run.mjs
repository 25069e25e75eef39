// DICOM series to stored volumes: `precess ingest` beside dcm2niix and beside pydicom with zarr, each in a process of its
// own, in turns; and the header scan of many files.
//   npm run bench:ingest -- [--repeats 3] [--series 24] [--files 100000]
// Needs dcm2niix on the PATH, and in PRECESS_PYTHON a Python with pydicom, zarr and numpy; what is missing is left out.
// Times are of the processor, so that other work of the machine counts little, and all programs count as on one core.
// Prints one JSON document.
import { spawnSync } from 'node:child_process';
import { link, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    repeats: { type: 'string', default: '3' },
    series: { type: 'string', default: '24' },
    files: { type: 'string', default: '100000' },
  },
});
const dist = (path) => new URL(`../../dist/${path}`, import.meta.url).href;
const bin = fileURLToPath(new URL('../../bin/precess', import.meta.url));
const peer = fileURLToPath(new URL('peer.py', import.meta.url));
const { newUid, writeDicomSeries } = await import(dist('formats/dicom/index.js'));

const dir = await mkdtemp(join(tmpdir(), 'precess-ingest-'));
try {
  const source = join(dir, 'in');
  const bytes = await writeSeries(source, Number(values.series));
  const programs = {
    precess: (out) => [process.execPath, bin, 'ingest', source, '--corpus', out, '--workers', '1'],
    'dcm2niix -z n': (out) => ['dcm2niix', '-z', 'n', '-b', 'y', '-f', '%j_%s', '-o', out, source],
    'dcm2niix -z y': (out) => ['dcm2niix', '-z', 'y', '-b', 'y', '-f', '%j_%s', '-o', out, source],
    ...(process.env.PRECESS_PYTHON && {
      'pydicom + zarr': (out) => [process.env.PRECESS_PYTHON, peer, source, out],
    }),
  };
  const runs = {};
  for (let repeat = 0; repeat < Number(values.repeats); repeat++)
    for (const [name, command] of Object.entries(programs)) {
      const out = join(dir, 'out');
      await mkdir(out);
      const run = timed(command(out));
      if (run !== null) (runs[name] ??= []).push(run);
      await rm(out, { recursive: true });
    }
  const series = {};
  for (const [name, all] of Object.entries(runs)) {
    const cpu = median(all.map((one) => one.cpu));
    series[name] = { cpuSeconds: cpu, wallSeconds: median(all.map((one) => one.wall)) };
    series[name].ratio = Number((cpu / median(runs.precess.map((one) => one.cpu))).toFixed(2));
  }
  const report = { cpu: cpus()[0].model, megabytes: Math.round(bytes / 1e6), series };
  if (Number(values.files) > 0) report.scan = await scanMany(source, Number(values.files));
  console.log(JSON.stringify(report, null, 2));
} finally {
  await rm(dir, { recursive: true, force: true });
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** Seconds of processor and clock of a command and its children; null where it is not installed. */
function timed([command, ...args]) {
  const script = 'TIMEFORMAT="%U %S %R"; time "$@" >/dev/null 2>&1';
  if (spawnSync(command, ['--version'], { stdio: 'ignore' }).error !== undefined) return null;
  const { status, stderr } = spawnSync('bash', ['-c', script, 'bash', command, ...args], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${stderr}`);
  const [user, system, wall] = stderr.trim().split(/\s+/).map(Number);
  return { cpu: Number((user + system).toFixed(2)), wall };
}

/** Noisy ellipsoids of 320 × 320 × 30 voxels, of which few are air. Returns the bytes of the voxels. */
async function writeSeries(source, count) {
  const shape = [320, 320, 30];
  const affine = [
    [-0.7, 0, 0, 112],
    [0, -0.7, 0, 112],
    [0, 0, 3, -45],
    [0, 0, 0, 1],
  ];
  let state = 1;
  for (let n = 0; n < count; n++) {
    const data = new Uint16Array(shape[0] * shape[1] * shape[2]);
    for (let k = 0, at = 0; k < shape[2]; k++)
      for (let j = 0; j < shape[1]; j++)
        for (let i = 0; i < shape[0]; i++, at++) {
          state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
          const inside = ((i - 160) / 150) ** 2 + ((j - 160) / 120) ** 2 < 1;
          data[at] = (inside ? 500 + 200 * Math.sin(i / 9 + n) * Math.cos(j / 13) : 0) + (state >>> 26);
        }
    const volume = { data, shape, affine, slope: 1, intercept: 0, valid: null };
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

/** Reads the headers of `count` files, hard links to those of the series; a process of its own. */
async function scanMany(source, count) {
  const files = (await readdir(source, { recursive: true, withFileTypes: true })).filter((one) =>
    one.isFile(),
  );
  const many = join(dir, 'many');
  for (let n = 0; n < count; n++) {
    const { parentPath, name } = files[n % files.length];
    const folder = join(many, String(Math.floor(n / 1000)));
    if (n % 1000 === 0) await mkdir(folder, { recursive: true });
    await link(join(parentPath, name), join(folder, `${n}.dcm`));
  }
  const module = `
    const { scan } = await import(${JSON.stringify(dist('corpus/scan.js'))});
    const { walk } = await import(${JSON.stringify(dist('corpus/walk.js'))});
    const { readPseudonyms, createKey } = await import(${JSON.stringify(dist('corpus/pseudonym.js'))});
    await createKey(${JSON.stringify(dir)});
    const start = performance.now();
    const files = [];
    for await (const file of walk([${JSON.stringify(many)}], '', () => undefined)) files.push(file);
    const plan = await scan(files, await readPseudonyms(${JSON.stringify(dir)}), ['many'], () => undefined);
    const seconds = (performance.now() - start) / 1000;
    console.log(JSON.stringify({ files: files.length, series: plan.planned.length, seconds: Number(seconds.toFixed(1)),
      filesPerSecond: Math.round(files.length / seconds),
      peakMB: Math.round(process.resourceUsage().maxRSS / 1024) }));`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', module], {
    encoding: 'utf8',
  });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout);
}
