import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Graph, gradients, reduceSum, square } from '../../src/graph/index.js';
import { Params, rope3d, transformerBlock, type Scope } from '../../src/nn/index.js';
import { adamw } from '../../src/optim/index.js';
import { opCases, roundingCases } from './cases.js';
import { gradientGraph } from './harness.js';

const python = process.env['PRECESS_PYTHON'] ?? 'python3';
const found = spawnSync(python, ['-c', 'import onnx'], { stdio: 'ignore' }).status === 0;
if (!found) {
  console.warn(
    `skipped: ONNX checker, because ${python} has no package "onnx" (set PRECESS_PYTHON to one that has)`,
  );
}

function block(graph: Graph, scope: Scope): void {
  const x = graph.input('x', 'float32', [2, 5, 24]);
  const positions = graph.input('positions', 'float32', [2, 5, 3]);
  const mask = graph.input('mask', 'float32', [2, 5]);
  const rope = rope3d(positions, 12, { minWavelengthMm: 16, maxWavelengthMm: 512 });
  const y = transformerBlock(scope, x, { heads: 2, mask, rope, layerScale: 0.1 });
  graph.output('loss', reduceSum(square(y)));
}

/** A block with its parameters in one flat input and their gradients, and one with them stored in the program. */
function blockGraphs(): Graph[] {
  const params = Params.collect(block);
  const inference = new Graph('inference');
  block(inference, params.bindConstants(inference, params.initialize(1)));
  const training = new Graph('training');
  const flat = training.input('params', 'float32', [params.size]);
  const x = training.input('x', 'float32', [2, 5, 24]);
  const rope = rope3d(training.input('positions', 'float32', [2, 5, 3]), 12, {
    minWavelengthMm: 16,
    maxWavelengthMm: 512,
  });
  const mask = training.input('mask', 'float32', [2, 5]);
  const y = transformerBlock(params.bind(flat), x, { heads: 2, mask, rope, layerScale: 0.1 });
  const [grads] = gradients(reduceSum(square(y)), [flat]);
  training.output('grads', grads!);
  return [inference, training];
}

describe.skipIf(!found)('the ONNX checker and strict shape inference', () => {
  it('accept every op with its gradient, a transformer block, and AdamW', () => {
    const directory = mkdtempSync(join(tmpdir(), 'precess-onnx-'));
    try {
      const graphs = [
        ...[...opCases, ...roundingCases].map((op) => gradientGraph(op).graph),
        ...blockGraphs(),
        adamw({ size: 10, clipNorm: 1, teacher: true }),
      ];
      const files = graphs.map((graph, i) => {
        const file = join(directory, `${i} ${graph.name}.onnx`);
        writeFileSync(file, graph.toOnnx());
        return file;
      });
      const script = fileURLToPath(new URL('../../scripts/onnx-check.py', import.meta.url));
      const { stdout, stderr, status } = spawnSync(python, [script, ...files], { encoding: 'utf8' });
      expect(stdout.replaceAll(directory, '') + stderr).toBe('');
      expect(status).toBe(0);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
