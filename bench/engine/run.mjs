// Times the engine's ViT beside the same one in PyTorch: one process each, runs interleaved, medians.
//   node bench/engine/run.mjs [--json] [--repeats 15] [--threads 2] [--activation gelu|silu|reluSquared]
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openDevice } from '../../dist/runtime/index.js';
import { buildVit, shape } from './vit.mjs';

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    repeats: { type: 'string', default: '15' },
    threads: { type: 'string', default: '2' },
    activation: { type: 'string', default: 'gelu' },
  },
});
const repeats = Number(options.repeats);
const threads = Number(options.threads);
const WARMUP = 3;
const pause = () => new Promise((resolve) => setTimeout(resolve, 300));

const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/** A Python with PyTorch, or null after saying how to get one. */
function findPython() {
  const python = process.env.PRECESS_PYTHON ?? 'python3';
  const found = spawnSync(python, ['-c', 'import torch'], { stdio: 'ignore' });
  if (found.status === 0) return python;
  console.error(
    `bench: ${python} has no PyTorch, so only the engine is timed. To compare:\n` +
      '  python3 -m venv venv && venv/bin/pip install torch numpy\n' +
      '  PRECESS_PYTHON=venv/bin/python npm run bench:engine',
  );
  return null;
}

/** The engine: resident weights and gradients, one call a run. */
async function startEngine({ params, weights, forward, backward }, tokens) {
  const device = await openDevice({ kind: 'cpu', threads });
  const programs = { forward: await device.load(forward), backward: await device.load(backward) };
  const flat = await device.buffer('float32', [params.size], weights);
  const grads = await device.buffer('float32', [params.size]);
  const x = await device.buffer('float32', [shape.batch, shape.tokens, shape.width], tokens);
  return {
    async run(kind) {
      const start = performance.now();
      const out =
        kind === 'forward'
          ? await programs.forward.run({ x })
          : await programs.backward.run({ x, params: flat }, { fetch: ['loss'], into: { grads } });
      const seconds = (performance.now() - start) / 1000;
      if (kind === 'forward') return { seconds, loss: out.loss[0] };
      const gradient = await grads.read();
      return { seconds, loss: out.loss[0], gradNorm: Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0)) };
    },
    close: () => device.close(),
  };
}

/** PyTorch in a process of its own, asked for one run at a time. */
async function startPeer(python, { params, weights }, tokens, directory) {
  writeFileSync(join(directory, 'params'), weights);
  writeFileSync(join(directory, 'tokens'), tokens);
  const child = spawn(python, [fileURLToPath(new URL('vit.py', import.meta.url))], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, OMP_NUM_THREADS: String(threads) },
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (request) => {
    child.stdin.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await lines.next();
    if (done) throw new Error('bench: the PyTorch process ended; its error is above');
    return JSON.parse(value);
  };
  const { version } = await ask({
    params: join(directory, 'params'),
    tokens: join(directory, 'tokens'),
    slices: params.slices,
    activation: options.activation,
    shape,
    threads,
  });
  return { version, run: (kind) => ask({ run: kind }), close: () => child.stdin.end() };
}

const vit = buildVit(options.activation);
const tokens = Float32Array.from({ length: shape.batch * shape.tokens * shape.width }, (_, i) =>
  Math.sin(i * 0.7),
);
const directory = mkdtempSync(join(tmpdir(), 'precess-bench-'));
const python = findPython();
const engine = await startEngine(vit, tokens);
const peer = python && (await startPeer(python, vit, tokens, directory));

const report = {
  cpu: cpus()[0].model,
  threads,
  repeats,
  shape,
  activation: options.activation,
  peer: peer?.version,
};
for (const kind of ['forward', 'backward']) {
  const times = { engine: [], peer: [] };
  for (let i = -WARMUP; i < repeats; i++) {
    // OpenMP's threads spin for up to 0.2 s after their work; neither side is to run beside the other's.
    const ours = await pause().then(() => engine.run(kind));
    const theirs = peer && (await pause().then(() => peer.run(kind)));
    if (i === -WARMUP && peer) {
      const off = (a, b) => Math.abs(a - b) / Math.abs(b);
      const error = Math.max(
        off(ours.loss, theirs.loss),
        kind === 'backward' ? off(ours.gradNorm, theirs.gradNorm) : 0,
      );
      if (!(error < 1e-4))
        throw new Error(`bench: the two disagree by ${error}: ${JSON.stringify([ours, theirs])}`);
    }
    if (i < 0) continue;
    times.engine.push(ours.seconds);
    if (peer) times.peer.push(theirs.seconds);
  }
  // The best run as well: on a machine with other work it says more than the median.
  const best = { engine: Math.min(...times.engine), peer: Math.min(...times.peer) };
  report[kind] = {
    engineSeconds: median(times.engine),
    engineBest: best.engine,
    ...(peer && {
      peerSeconds: median(times.peer),
      peerBest: best.peer,
      ratio: median(times.peer) / median(times.engine),
      bestRatio: best.peer / best.engine,
    }),
  };
}
await engine.close();
peer?.close();
rmSync(directory, { recursive: true });

if (options.json) console.log(JSON.stringify(report));
else {
  const { batch, tokens: count, width, layers } = shape;
  console.log(
    `ViT d ${width}, ${layers} layers, ${batch}x${count} tokens, ${options.activation}, float32, ${threads} threads, ${report.cpu}`,
  );
  console.log(
    `${repeats} interleaved runs`.padEnd(26) + `Precess   PyTorch ${peer?.version ?? '-'}   speed ratio`,
  );
  const seconds = (s) => (s === undefined ? '-' : `${s.toFixed(3)} s`).padStart(9);
  const times = (r) => (r === undefined ? '-' : `${r.toFixed(2)} x`).padStart(18);
  for (const [kind, label] of [
    ['forward', 'forward'],
    ['backward', 'forward+backward'],
  ]) {
    const { engineSeconds, peerSeconds, ratio, engineBest, peerBest, bestRatio } = report[kind];
    console.log(`${label}, median`.padEnd(24) + seconds(engineSeconds) + seconds(peerSeconds) + times(ratio));
    console.log(`${label}, best`.padEnd(24) + seconds(engineBest) + seconds(peerBest) + times(bestRatio));
  }
}
