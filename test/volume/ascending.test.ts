import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ascending } from '../../src/volume/ascending.js';

it('orders numbers as the language does, bit for bit, and leaves them as they were', () => {
  fc.assert(
    fc.property(fc.float32Array({ maxLength: 5000, noNaN: true }), (values) => {
      const before = values.slice();
      const bits = (of: Float32Array): Uint32Array => new Uint32Array(of.slice().buffer);
      expect(bits(ascending(values))).toEqual(bits(values.slice().sort()));
      expect(bits(values)).toEqual(bits(before));
    }),
  );
});

it('orders a part of an array', () => {
  const all = Float32Array.of(9, 3, -2, 1e30, -0.5, 7);
  expect(ascending(all.subarray(1, 5))).toEqual(Float32Array.of(-2, -0.5, 3, 1e30));
});
