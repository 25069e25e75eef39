// DICOM series to stored volumes: `precess ingest` beside dcm2niix and beside pydicom with zarr, each in a process of its
// own, in turns, on simulated and on real series; and the header scan of many files.
//   npm run bench:ingest -- [--repeats 5] [--series 24] [--files 100000]
// Needs dcm2niix on the PATH, and in PRECESS_PYTHON a Python with pydicom, zarr and numpy; real series are those of
// PRECESS_DATA. What is missing is left out.
// Every program runs on one thread. `cpu` is seconds of its processor, so that other work of the machine counts little;
// `start` is what a program takes for a single small series, `perSeries` the rest of its time over the rest of the series.
// Prints one JSON document.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { link, mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeSeries } from './series.mjs';

const { values } = parseArgs({
  options: {
    repeats: { type: 'string', default: '5' },
    series: { type: 'string', default: '24' },
    files: { type: 'string', default: '100000' },
  },
});
const dist = (path) => new URL(`../../dist/${path}`, import.meta.url).href;
const bin = fileURLToPath(new URL('../../bin/precess', import.meta.url));
const peer = fileURLToPath(new URL('peer.py', import.meta.url));
const python = process.env.PRECESS_PYTHON;

const programs = {
  precess: (source, out) => [
    ...[process.execPath, bin, 'ingest', ...source, '--corpus', out],
    ...['--workers', '1'],
  ],
  'dcm2niix -z n': ([source], out) => ['dcm2niix', '-z', 'n', '-b', 'y', '-f', '%j_%s', '-o', out, source],
  'dcm2niix -z y': ([source], out) => ['dcm2niix', '-z', 'y', '-b', 'y', '-f', '%j_%s', '-o', out, source],
  ...(python && { 'pydicom + zarr': ([source], out) => [python, peer, source, out] }),
};
const dir = await mkdtemp(join(tmpdir(), 'precess-ingest-'));
try {
  const sources = await sourcesIn(dir);
  // source → program → runs
  const runs = {};
  for (let repeat = 0; repeat < Number(values.repeats); repeat++)
    for (const [source, { path }] of Object.entries(sources))
      for (const [program, command] of Object.entries(programs)) {
        const run = await timed((out) => command([path], out));
        if (run !== null) ((runs[source] ??= {})[program] ??= []).push(run);
      }
  const report = {
    cpu: cpus()[0].model,
    load: loadavg().map((one) => Number(one.toFixed(1))),
    repeats: Number(values.repeats),
  };
  for (const [source, { series, megabytes }] of Object.entries(sources))
    report[source] = { series, megabytes, ...summary(runs[source], runs.one, series) };
  if (Number(values.files) > 0) report.scan = await scanMany(sources.simulated.path, Number(values.files));
  console.log(JSON.stringify(report, null, 2));
} finally {
  await rm(dir, { recursive: true, force: true });
}

/** One small series, for what a program takes to start; many; and real ones. */
async function sourcesIn(folder) {
  const [one, simulated] = [join(folder, 'one'), join(folder, 'simulated')];
  const count = Number(values.series);
  await writeSeries(one, 1, [64, 64, 4]);
  const bytes = await writeSeries(simulated, count, [320, 320, 30]);
  const sources = {
    one: { path: one, series: 1 },
    simulated: { path: simulated, series: count, megabytes: Math.round(bytes / 1e6) },
  };
  const data = process.env.PRECESS_DATA ?? fileURLToPath(new URL('../../../shared/data', import.meta.url));
  for (const name of ['prostate-prostatex', 'brain-uih-dicom']) {
    const path = join(data, name);
    if (!existsSync(path)) continue;
    let size = 0;
    for (const file of await filesIn(path)) size += (await stat(file)).size;
    sources[name] = { path, megabytes: Math.round(size / 1e6) };
  }
  return sources;
}

async function filesIn(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((one) => one.isFile()).map(({ parentPath, name }) => join(parentPath, name));
}

/** Medians and ranges of each program, and its time by Precess's. */
function summary(programs, alone, series) {
  const told = {};
  for (const [name, all] of Object.entries(programs)) {
    const cpu = all.map((one) => one.cpu);
    const start = median(alone[name].map((one) => one.cpu));
    told[name] = {
      cpu: median(cpu),
      range: [Math.min(...cpu), Math.max(...cpu)],
      wall: median(all.map((one) => one.wall)),
      ofPrecess: ratio(median(cpu), median(programs.precess.map((one) => one.cpu))),
      megabytes: Number((median(all.map((one) => one.bytes)) / 1e6).toFixed(1)),
      ...(series > 1 && { start, perSeries: ratio(median(cpu) - start, series) }),
    };
  }
  for (const one of Object.values(told))
    if (one.perSeries !== undefined) one.perSeriesOfPrecess = ratio(one.perSeries, told.precess.perSeries);
  return told;
}

function ratio(a, b) {
  return Number((a / b).toFixed(3));
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** Seconds of processor and clock of a command and its children, and what it wrote; null where it is not installed. */
async function timed(commandFor) {
  const out = join(dir, 'out');
  await mkdir(out);
  const [command, ...args] = commandFor(out);
  const script = 'TIMEFORMAT="%U %S %R"; time "$@" >/dev/null 2>&1';
  if (spawnSync(command, ['--version'], { stdio: 'ignore' }).error !== undefined) return null;
  const { stderr } = spawnSync('bash', ['-c', script, 'bash', command, ...args], {
    encoding: 'utf8',
    env: { ...process.env, OMP_NUM_THREADS: '1' },
  });
  const [user, system, wall] = stderr.trim().split(/\s+/).map(Number);
  let bytes = 0;
  for (const file of await filesIn(out)) bytes += (await stat(file)).size;
  // dcm2niix ends with another status than 0 where it left a file out.
  if (bytes === 0) throw new Error(`${command} wrote nothing: ${args.join(' ')}`);
  await rm(out, { recursive: true });
  return { cpu: Number((user + system).toFixed(2)), wall, bytes };
}

/** Reads the headers of `count` files, hard links to those of the series; a process of its own. */
async function scanMany(source, count) {
  const files = await filesIn(source);
  const many = join(dir, 'many');
  for (let n = 0; n < count; n++) {
    const folder = join(many, String(Math.floor(n / 1000)));
    if (n % 1000 === 0) await mkdir(folder, { recursive: true });
    await link(files[n % files.length], join(folder, `${n}.dcm`));
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
    const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
    console.log(JSON.stringify({ files: files.length, series: plan.planned.length, seconds: Number(seconds.toFixed(1)),
      filesPerSecond: Math.round(files.length / seconds),
      cpu: Number(((userCPUTime + systemCPUTime) / 1e6).toFixed(1)), peakMB: Math.round(maxRSS / 1024) }));`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', module], {
    encoding: 'utf8',
  });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout);
}
