// Trains a small transformer block for a few steps on the CPU and on WebGPU, runs the programs of a folder on both,
// and prints how far the two are apart.
//   node webgpu-check.mjs FOLDER    with NAME.onnx and NAME.json, the inputs as arrays of numbers by name
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gradients, Graph, reduceMean, square, sub } from '../../dist/graph/index.js';
import { Params, rope3d, transformerBlock } from '../../dist/nn/index.js';
import { adamw, stepInputs } from '../../dist/optim/index.js';
import { openDevice } from '../../dist/runtime/index.js';

const [B, N, D, HEADS, STEPS] = [2, 9, 48, 2, 4];
const wave = (length, scale) => Float32Array.from({ length }, (_, i) => scale * Math.sin(1 + i * 0.7));
const data = {
  x: wave(B * N * D, 1),
  positions: wave(B * N * 3, 90),
  mask: wave(B * N, 1).map((v) => (v > -0.7 ? 1 : 0)),
};

function model(graph, scope) {
  const x = graph.input('x', 'float32', [B, N, D]);
  const rope = rope3d(graph.input('positions', 'float32', [B, N, 3]), D / HEADS, {
    minWavelengthMm: 16,
    maxWavelengthMm: 500,
  });
  const mask = graph.input('mask', 'float32', [B, N]);
  return transformerBlock(scope, x, { heads: HEADS, mask, rope });
}
const params = Params.collect((graph, scope) => void model(graph, scope));
const graph = new Graph('block');
const flat = graph.input('params', 'float32', [params.size]);
const loss = reduceMean(square(sub(model(graph, params.bind(flat)), 1)));
graph.output('loss', loss);
graph.output('grads', gradients(loss, [flat])[0]);

async function train(kind) {
  const device = await openDevice({ kind, threads: 1 });
  const program = await device.load(graph);
  const config = { size: params.size, clipNorm: 1 };
  const update = await device.load(adamw(config));
  const vector = (array) => device.buffer('float32', [params.size], array);
  const state = { params: await vector(params.initialize(3)), m: await vector(), v: await vector() };
  const [grads, decay] = [await vector(), await vector(params.decayMask())];
  const losses = [];
  let first;
  for (let step = 1; step <= STEPS; step++) {
    const out = await program.run({ ...data, params: state.params }, { fetch: ['loss'], into: { grads } });
    losses.push(out.loss[0]);
    first ??= await grads.read();
    const into = { newParams: state.params, newM: state.m, newV: state.v };
    await update.run(
      { ...state, grads, decay, ...stepInputs(config, { step, learningRate: 1e-2, weightDecay: 0.1 }) },
      { fetch: [], into },
    );
  }
  const trained = await state.params.read();
  await device.close();
  return { losses, first, trained };
}

let gpu;
try {
  gpu = await train('webgpu');
} catch (error) {
  if (!/WebGPU is not available/.test(error.message)) throw error;
  console.log(`no adapter (${error.cause.message.split('. ').at(-1)})`);
  process.exit(0);
}
const cpu = await train('cpu');
const off = (a, b) => {
  const scale = a.reduce((m, v) => Math.max(m, Math.abs(v)), 1e-3);
  return a.reduce((m, v, i) => Math.max(m, Math.abs(v - b[i])), 0) / scale;
};

const ARRAYS = { float32: Float32Array, int64: BigInt64Array, bool: Uint8Array };
async function runFolder(folder) {
  const devices = [await openDevice({ kind: 'cpu', threads: 1 }), await openDevice({ kind: 'webgpu' })];
  const errors = {};
  for (const file of readdirSync(folder).filter((entry) => entry.endsWith('.onnx'))) {
    const given = JSON.parse(readFileSync(join(folder, file.replace(/onnx$/, 'json')), 'utf8'));
    const results = [];
    for (const device of devices) {
      const program = await device.load(readFileSync(join(folder, file)), { name: file });
      const feeds = Object.fromEntries(
        program.inputs.map(({ name, dtype }) => [
          name,
          ARRAYS[dtype].from(given[name], dtype === 'int64' ? BigInt : Number),
        ]),
      );
      results.push(await program.run(feeds));
      await program.free();
    }
    const [onCpu, onGpu] = results;
    errors[file] = Math.max(...Object.keys(onCpu).map((name) => off([...onCpu[name]], [...onGpu[name]])));
  }
  for (const device of devices) await device.close();
  return errors;
}

console.log(
  JSON.stringify({
    losses: [cpu.losses, gpu.losses],
    gradientError: off(cpu.first, gpu.first),
    trainedError: off(cpu.trained, gpu.trained),
    errors: await runFolder(process.argv[2]),
  }),
);
