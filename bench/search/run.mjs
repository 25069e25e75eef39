// Nearest neighbours among simulated vectors: the index of Precess, brute force, faiss, and hnswlib where it is installed,
// on the same vectors, in one run.
//   npm run bench:search -- [--rows N] [--dim N] [--clusters N] [--queries N] [--probes N,N] [--json]
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { connect } from '@lancedb/lancedb';
import { indexVectors, nearestRows } from '../../dist/tasks/search-table.js';
import { Random } from '../../dist/volume/random.js';

// The copy that LanceDB itself has loaded, so that it takes these tables as they are.
const { Field, FixedSizeList, Float32, Schema, Table, Utf8, makeData, RecordBatch, Struct, vectorFromArray } =
  createRequire(import.meta.url)('apache-arrow');

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    dim: { type: 'string', default: '256' },
    clusters: { type: 'string', default: '2000' },
    queries: { type: 'string', default: '100' },
    noise: { type: 'string', default: '0.06' },
    json: { type: 'boolean', default: false },
  },
});
const [rows, dim, clusters, queries] = ['rows', 'dim', 'clusters', 'queries'].map((name) =>
  Number(values[name]),
);
const python = process.env.PRECESS_PYTHON ?? 'python3';
if (spawnSync(python, ['-c', 'import faiss, numpy'], { stdio: 'ignore' }).status !== 0) {
  console.error(
    `bench: ${python} has no faiss and numpy; "pip install faiss-cpu numpy" in a virtual environment and`,
  );
  console.error('name its python in PRECESS_PYTHON');
  process.exit(1);
}

const random = new Random(1);
// Normal numbers from a large table, read from random places: a million vectors in seconds, not minutes.
const normals = Float32Array.from({ length: 1 << 20 }, () => random.normal());
const centres = Array.from({ length: clusters }, () => {
  const v = Float32Array.from({ length: dim }, () => random.normal());
  const norm = Math.hypot(...v);
  return v.map((x) => x / norm);
});
function fill(out, at) {
  const centre = centres[Math.floor(random.uniform(0, clusters))];
  let place = Math.floor(random.uniform(0, normals.length));
  const stride = 1 + 2 * Math.floor(random.uniform(0, 1000));
  let squared = 0;
  for (let d = 0; d < dim; d++) {
    const v = centre[d] + Number(values.noise) * normals[place];
    place = (place + stride) & (normals.length - 1);
    out[at + d] = v;
    squared += v * v;
  }
  for (let d = 0; d < dim; d++) out[at + d] /= Math.sqrt(squared);
}
const seconds = async (work) => {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
};
const median = (times) => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)];
const say = (line) => console.error(`bench: ${line}`);

const dir = mkdtempSync(join(process.env.PRECESS_BENCH_DIR ?? tmpdir(), 'precess-bench-search-'));
try {
  const data = new Float32Array(rows * dim);
  for (let n = 0; n < rows; n++) fill(data, n * dim);
  const asked = new Float32Array(queries * dim);
  for (let n = 0; n < queries; n++) fill(asked, n * dim);
  writeFileSync(join(dir, 'vectors.f32'), data);
  writeFileSync(join(dir, 'queries.f32'), asked);
  say(`${rows} x ${dim} vectors in ${clusters} clusters`);

  const db = await connect(join(dir, 'lance'));
  const list = new FixedSizeList(dim, new Field('item', new Float32(), true));
  const schema = new Schema([
    new Field('id', new Utf8(), false),
    new Field('studyId', new Utf8(), false),
    new Field('vector', list, false),
  ]);
  const batch = (from, count) => {
    const ids = vectorFromArray(
      Array.from({ length: count }, (_, n) => String(from + n)),
      new Utf8(),
    ).data[0];
    const child = makeData({ type: new Float32(), data: data.subarray(from * dim, (from + count) * dim) });
    const vectors = makeData({ type: list, length: count, nullCount: 0, child });
    const struct = makeData({
      type: new Struct(schema.fields),
      length: count,
      nullCount: 0,
      children: [ids, ids, vectors],
    });
    return new Table(schema, [new RecordBatch(schema, struct)]);
  };
  const CHUNK = 50_000;
  const table = await db.createEmptyTable('images', schema);
  const write = await seconds(async () => {
    for (let at = 0; at < rows; at += CHUNK) await table.add(batch(at, Math.min(CHUNK, rows - at)));
  });
  say(`written in ${write.toFixed(0)} s`);

  const ask = async (options, count) => {
    const times = [];
    const found = [];
    for (let q = 0; q < count; q++) {
      const query = asked.subarray(q * dim, (q + 1) * dim);
      let hits;
      times.push(
        1000 * (await seconds(async () => (hits = await nearestRows(table, query, { k: 10, ...options })))),
      );
      found.push(hits.map(({ id }) => Number(id)));
    }
    return {
      p50: median(times),
      p95: times.toSorted((a, b) => a - b)[Math.floor(0.95 * times.length)],
      found,
    };
  };
  await ask({ exact: true }, 2);
  const brute = await ask({ exact: true }, queries);
  say(`exact: p50 ${brute.p50.toFixed(1)} ms`);
  const recall = (found) =>
    found.reduce((sum, ids, q) => sum + ids.filter((id) => brute.found[q].includes(id)).length / 10, 0) /
    found.length;
  const build = await seconds(() => indexVectors(table, 'vector'));
  say(`index built in ${build.toFixed(0)} s`);
  await ask({}, queries);
  const ann = await ask({}, queries);
  table.close();
  db.close();

  writeFileSync(join(dir, 'truth.json'), JSON.stringify(brute.found));
  const peer = spawnSync(
    python,
    [
      join(dirname(fileURLToPath(import.meta.url)), 'peer.py'),
      dir,
      String(dim),
      String(Math.round(Math.sqrt(rows))),
    ],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 26 },
  );
  const peers = peer.status === 0 ? JSON.parse(peer.stdout) : {};
  const result = {
    machine: `${cpus().length} x ${cpus()[0].model}`,
    rows,
    dim,
    'precess, exact': { p50: brute.p50, p95: brute.p95, recall: 1, build: 0 },
    'precess, index': { p50: ann.p50, p95: ann.p95, recall: recall(ann.found), build },
    ...peers,
  };
  if (values.json) console.log(JSON.stringify(result, null, 2));
  else
    console.table(
      Object.fromEntries(
        Object.entries(result)
          .filter(([, value]) => typeof value === 'object')
          .map(([name, row]) => [
            name,
            {
              'recall@10': row.recall.toFixed(3),
              'p50 ms': row.p50.toFixed(2),
              'p95 ms': row.p95.toFixed(2),
              'build s': row.build.toFixed(0),
              'speed, index = 1': (ann.p50 / row.p50).toFixed(2),
            },
          ]),
      ),
    );
} finally {
  rmSync(dir, { recursive: true, force: true });
}
