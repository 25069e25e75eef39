// Kills an ingest with SIGKILL at random moments, again and again, and continues it: after every kill all series that the
// corpus shows must be whole and true, and in the end each must be there once with nothing left over.
//   node bench/ingest/kill.mjs [--times 50] [--seed 1] [--corpora s3://BUCKET/PREFIX]
// Prints one JSON document; exits with 1 when something was lost, doubled or half written.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    times: { type: 'string', default: '50' },
    seed: { type: 'string', default: '1' },
    // Rows are added 32 at a time, so that a kill can come between two additions.
    series: { type: 'string', default: '80' },
    // Where the corpora are made; a temporary folder where not given. Those in a bucket are left there.
    corpora: { type: 'string' },
  },
});
const times = Number(values.times);
const count = Number(values.series);
const dist = (path) => new URL(`../../dist/${path}`, import.meta.url).href;
const bin = fileURLToPath(new URL('../../bin/precess', import.meta.url));
const { newUid, writeDicomSeries } = await import(dist('formats/dicom/index.js'));
const { Corpus, readAudit } = await import(dist('corpus/index.js'));
const { openStore } = await import(dist('corpus/store.js'));

let state = Number(values.seed) >>> 0;
const random = () => {
  // mulberry32
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
};

const digest = (data) =>
  createHash('sha256')
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest('hex');

const dir = await mkdtemp(join(tmpdir(), 'precess-kill-'));
const source = join(dir, 'in');
const base = values.corpora ?? dir;
const expected = new Set();
for (let n = 0; n < count; n++) {
  const shape = [48, 40, 10];
  const data = new Uint16Array(48 * 40 * 10);
  for (let i = 0; i < data.length; i++) data[i] = random() * 1900;
  expected.add(digest(data));
  const affine = [
    [-0.8, 0, 0, 40],
    [0, -0.8, 0, 50],
    [0, 0, 3, -20],
    [0, 0, 0, 1],
  ];
  await writeDicomSeries(
    join(source, String(n)),
    { data, shape, affine, slope: 1, intercept: 0, valid: null },
    {
      patientId: `P-${n % 5}`,
      patientName: 'Test^Person',
      birthDate: '19610402',
      sex: 'F',
      studyUid: newUid(`study ${n % 8}`),
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
    },
  );
}

/**
 * Runs an ingest; killed at `moment` of its time where given, or of the time in which it stores. Resolves with whether it
 * came to its end, and how long it took in all and for storing.
 */
function ingest(corpus, moment) {
  return new Promise((resolve) => {
    const start = performance.now();
    let storing = null;
    const child = spawn(process.execPath, [bin, 'ingest', source, '--corpus', corpus, '--workers', '2'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let log = '';
    child.stderr.on('data', (text) => (log += String(text)));
    let looking = false;
    const look = async () => {
      looking = true;
      const voxels = await (await openStore(corpus)).names('voxels');
      if (voxels.length > 0) storing ??= performance.now();
      looking = false;
    };
    const watch = setInterval(() => {
      const now = performance.now();
      if (storing === null && !looking) void look();
      const since = moment?.of === 'storing' ? storing : start;
      if (moment !== undefined && since !== null && now - since >= moment.ms) child.kill('SIGKILL');
    }, 2);
    child.on('exit', (code, signal) => {
      clearInterval(watch);
      const end = performance.now();
      resolve({
        finished: code === 0,
        killed: signal === 'SIGKILL',
        ms: end - start,
        storingMs: end - (storing ?? start),
        log,
      });
    });
  });
}

const problems = [];

/** Every series that the corpus shows is whole and one of those expected. Returns how many there are. */
async function look(dirOfCorpus, when) {
  let corpus;
  try {
    corpus = await Corpus.open(dirOfCorpus);
  } catch (error) {
    // Killed before the corpus was made: there is no marker yet.
    if (/has no corpus\.json/.test(String(error))) return 0;
    problems.push(`${when}: ${String(error)}`);
    return 0;
  }
  try {
    const seen = new Set();
    for (const { id } of await corpus.list()) {
      try {
        const sum = digest((await corpus.volume(id)).data);
        if (!expected.has(sum)) problems.push(`${when}: ${id} holds other voxels than any source`);
        if (seen.has(sum)) problems.push(`${when}: ${id} is there twice`);
        seen.add(sum);
      } catch (error) {
        problems.push(`${when}: ${id} cannot be read: ${String(error)}`);
      }
    }
    return seen.size;
  } finally {
    corpus.close();
  }
}

const kills = { total: 0, beforeFirst: 0, between: 0, afterLast: 0 };
const warm = await ingest(`${base}/warm`);
let corpora = 0;
let corpus = '';
let held = 0;
while (kills.total < times) {
  if (corpus === '') [corpus, held] = [`${base}/c${corpora++}`, 0];
  // Most of a run is starting and reading headers, so every other kill comes while it stores.
  const moment =
    kills.total % 2 === 0
      ? { of: 'storing', ms: random() * warm.storingMs * 1.1 }
      : { of: 'all', ms: random() * warm.ms * 1.1 };
  const run = await ingest(corpus, moment);
  if (run.killed) {
    kills.total++;
    const now = await look(corpus, `kill ${kills.total}`);
    if (now < held) problems.push(`kill ${kills.total}: ${held - now} series were lost`);
    held = now;
    if (now === 0) kills.beforeFirst++;
    else if (now < count) kills.between++;
    else kills.afterLast++;
  } else if (!run.finished) {
    kills.total++;
    problems.push(`continuing failed: ${run.log.slice(-500)}`);
  }
  if (run.finished || held === count || kills.total === times) {
    const last = await ingest(corpus);
    if (!last.finished) problems.push(`the last run failed: ${last.log.slice(-500)}`);
    if ((await look(corpus, 'at the end')) !== count) problems.push('at the end: not every series is there');
    const store = await openStore(corpus);
    const shards = await store.names('voxels');
    const images = (await Promise.all(shards.map((one) => store.names(`voxels/${one}`)))).flat();
    if (images.length !== count) problems.push(`at the end: ${images.length} images for ${count} series`);
    const audit = await readAudit(corpus);
    for (const { broken, message } of audit.findings) if (broken) problems.push(`audit log: ${message}`);
    if (values.corpora === undefined) await rm(corpus, { recursive: true });
    corpus = '';
  }
}
await rm(dir, { recursive: true, force: true });
console.log(JSON.stringify({ times: kills.total, kills, series: count, corpora, problems }, null, 2));
process.exit(problems.length > 0 ? 1 : 0);
