import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GraphError, matmul, rotate, type Value } from '../../src/graph/index.js';
import { rope3d } from '../../src/nn/index.js';
import { openDevice, type Device } from '../../src/runtime/index.js';
import { evaluate, expectClose, randomNumbers, type InputSpec } from '../graph/harness.js';

let device: Device;
beforeAll(async () => {
  device = await openDevice({ kind: 'cpu', threads: 1 });
});
afterAll(() => device.close());

const OPTIONS = { minWavelengthMm: 16, maxWavelengthMm: 1024 };
const [N, HEAD_DIM] = [6, 32];
const next = randomNumbers(3);
const draw = (length: number, scale: number): Float32Array =>
  Float32Array.from({ length }, () => (next() - 0.5) * scale);
const [q, k] = [draw(N * HEAD_DIM, 2), draw(N * HEAD_DIM, 2)];
const places = draw(N * 3, 300);

/** Scores qᵢ · kⱼ after rotation, [1, N, N]. */
async function scores(positions: Float32Array): Promise<Float32Array> {
  const specs: InputSpec[] = [
    { shape: [1, N, HEAD_DIM], data: q },
    { shape: [1, N, HEAD_DIM], data: k },
    { shape: [1, N, 3], data: positions },
  ];
  const { data } = await evaluate(device, specs, (a, b, at) => {
    const { cos, sin } = rope3d(at, HEAD_DIM, OPTIONS);
    const turn = (x: Value): Value => rotate(x, cos, sin);
    return matmul(turn(a), turn(b), { transB: true });
  });
  return data as Float32Array;
}
const moved = (by: readonly [number, number, number]): Float32Array => places.map((p, i) => p + by[i % 3]!);

describe('rotary positions in mm', () => {
  it('depend on the difference of two places only', async () => {
    const before = await scores(places);
    for (const by of [
      [70, 0, 0],
      [0, -33, 0],
      [12.5, 8, -90],
    ] as const) {
      expectClose(await scores(moved(by)), before, 1e-4, `moved by ${by.join()}`);
    }
  });

  it('see a move of one token along each axis', async () => {
    const before = await scores(places);
    for (let axis = 0; axis < 3; axis++) {
      const one = places.slice();
      one[axis]! += 5;
      const after = await scores(one);
      const change = after.reduce((sum, s, i) => Math.max(sum, Math.abs(s - before[i]!)), 0);
      expect(change).toBeGreaterThan(0.05);
    }
  });

  it('turn once over each wavelength, from the shortest to the longest', async () => {
    const specs = [{ shape: [1, 3, 3], data: Float32Array.of(16, 0, 0, 0, 1024, 0, 0, 0, 4) }];
    const cosOf = await evaluate(device, specs, (at) => rope3d(at, 32, OPTIONS).cos);
    const sinOf = await evaluate(device, specs, (at) => rope3d(at, 32, OPTIONS).sin);
    const [c, s] = [cosOf.data as Float32Array, sinOf.data as Float32Array];
    // 16 pairs: 5 an axis with wavelengths 16 · 64^(i/4) mm, one left over.
    const wavelengths = [16, 16 * 64 ** 0.25, 128, 16 * 64 ** 0.75, 1024];
    const expected = (mm: number, axis: number): number[] =>
      Array.from({ length: 16 }, (_, pair) => {
        const i = pair - 5 * axis;
        return i >= 0 && i < 5 ? (2 * Math.PI * mm) / wavelengths[i]! : 0;
      });
    const angles = [...expected(16, 0), ...expected(1024, 1), ...expected(4, 2)];
    expectClose(c, angles.map(Math.cos), 1e-4, 'cos');
    expectClose(s, angles.map(Math.sin), 1e-4, 'sin');
  });

  it('refuses heads too narrow for three axes and wavelengths out of order', async () => {
    const bad = (headDim: number, options: typeof OPTIONS): Promise<unknown> =>
      evaluate(device, [{ shape: [1, 1, 3] }], (at) => rope3d(at, headDim, options).cos);
    await expect(bad(4, OPTIONS)).rejects.toThrow(GraphError);
    await expect(bad(12, { minWavelengthMm: 20, maxWavelengthMm: 10 })).rejects.toThrow(/0 < min ≤ max/);
  });
});
