/** Numbers of a header as the geometry of an image; null where they are no such thing. */

export type Triple = readonly [number, number, number];

export interface Orientation {
  readonly row: Triple;
  readonly column: Triple;
}

export function pairOf(values: readonly number[]): readonly [number, number] | null {
  const [a, b] = values;
  return a !== undefined && b !== undefined && a > 0 && b > 0 && Number.isFinite(a * b) ? [a, b] : null;
}

export function tripleOf(values: readonly number[]): Triple | null {
  const [x, y, z] = values;
  return x !== undefined && y !== undefined && z !== undefined && Number.isFinite(x + y + z)
    ? [x, y, z]
    : null;
}

/** PS3.3 C.7.6.2.1.1 asks for two orthogonal unit vectors; what is far from that is no orientation. */
export function orientationOf(values: readonly number[]): Orientation | null {
  const row = tripleOf(values.slice(0, 3));
  const column = tripleOf(values.slice(3, 6));
  if (row === null || column === null) return null;
  const lengths = [Math.hypot(...row), Math.hypot(...column)];
  const dot = row[0] * column[0] + row[1] * column[1] + row[2] * column[2];
  if (lengths.some((length) => Math.abs(length - 1) > 0.01) || Math.abs(dot) > 0.01) return null;
  return { row, column };
}
