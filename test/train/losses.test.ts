import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Graph, gradients, type Value } from '../../src/graph/index.js';
import { openDevice, type Device } from '../../src/runtime/index.js';
import { sigmoidContrastiveLoss } from '../../src/train/contrast.js';
import { dinoLoss, ibotLoss, koleoLoss, pixelLoss, sinkhorn } from '../../src/train/self-distillation.js';

const reference = JSON.parse(
  readFileSync(new URL('../fixtures/train/losses.json', import.meta.url), 'utf8'),
) as { sizes: Record<'B' | 'L' | 'K' | 'D', number> } & Record<string, unknown>;
const { B, L, K, D } = reference.sizes;
const numbers = (name: string): number[] => [reference[name] as number | number[]].flat();

let device: Device;
beforeAll(async () => {
  device = await openDevice({ kind: 'cpu', threads: 1 });
});
afterAll(() => device.close());

/** Runs `build` on named inputs, and compares each of its outputs with the reference of the same name. */
async function check(
  inputs: Record<string, readonly number[]>,
  build: (graph: Graph, value: Record<string, Value>) => Record<string, Value>,
): Promise<void> {
  const graph = new Graph('losses');
  const values: Record<string, Value> = {};
  const feeds: Record<string, Float32Array> = {};
  for (const [name, shape] of Object.entries(inputs)) {
    values[name] = graph.input(name, 'float32', shape);
    feeds[name] = Float32Array.from(numbers(name));
  }
  for (const [name, value] of Object.entries(build(graph, values))) graph.output(name, value);
  const program = await device.load(graph);
  for (const [name, data] of Object.entries(await program.run(feeds))) {
    const expected = numbers(name);
    const largest = Math.max(...expected.map(Math.abs));
    expect(data.length, name).toBe(expected.length);
    expected.forEach((e, n) => expect(Math.abs((data[n] as number) - e) / largest, name).toBeLessThan(1e-4));
  }
}

describe('losses agree with PyTorch', () => {
  it('Sinkhorn assignment, with and without rows left out', () =>
    check({ teacherLogits: [2 * B, K], weight: [2 * B] }, (graph, { teacherLogits, weight }) => ({
      targets: sinkhorn(teacherLogits!, graph.constant(0.05), null),
      maskedTargets: sinkhorn(teacherLogits!, graph.constant(0.05), weight!),
    })));

  it('DINO over global and local crops', () =>
    check(
      { targets: [2, B, K], globalLogits: [2, B, K], localLogits: [L, B, K] },
      (_, { targets, globalLogits, localLogits }) => {
        const dino = dinoLoss(targets!, globalLogits!, localLogits!, 0.1);
        const [dinoGlobalGrad, dinoLocalGrad] = gradients(dino, [globalLogits!, localLogits!]);
        return { dino, dinoGlobalGrad: dinoGlobalGrad!, dinoLocalGrad: dinoLocalGrad! };
      },
    ));

  it('iBOT over masked tokens', () =>
    check(
      { maskedTargets: [2 * B, K], tokenLogits: [2 * B, K], tokenWeight: [2 * B] },
      (_, { maskedTargets, tokenLogits, tokenWeight }) => {
        const ibot = ibotLoss(maskedTargets!, tokenLogits!, tokenWeight!, 0.1);
        return { ibot, ibotGrad: gradients(ibot, [tokenLogits!])[0]! };
      },
    ));

  it('KoLeo', () =>
    check({ x: [B, D] }, (_, { x }) => {
      const koleo = koleoLoss(x!);
      return { koleo, koleoGrad: gradients(koleo, [x!])[0]! };
    }));

  it('squared error of masked samples that were measured', () =>
    check({ said: [2 * B, D], truth: [2 * B, D], measured: [2 * B, D] }, (_, { said, truth, measured }) => {
      const pixels = pixelLoss(said!, truth!, measured!);
      return { pixels, pixelsGrad: gradients(pixels, [said!])[0]! };
    }));

  it('sigmoid contrast with doubled and ignored pairs', () =>
    check(
      { images: [B, D], texts: [B, D], scale: [1], bias: [1], pairs: [B, B] },
      (_, { images, texts, scale, bias, pairs }) => {
        const siglip = sigmoidContrastiveLoss(images!, texts!, scale!, bias!, pairs!);
        const [a, b, c, d] = gradients(siglip, [images!, texts!, scale!, bias!]);
        return { siglip, siglipImagesGrad: a!, siglipTextsGrad: b!, siglipScaleGrad: c!, siglipBiasGrad: d! };
      },
    ));
});
