/** Weights of another 3D vision transformer, as far as their shapes allow. */
import { createHash } from 'node:crypto';
import type { ImportMap, ImportRule } from './import-map.js';
import type { ModelFile } from './model-file.js';
import { newModel } from './new-model.js';
import type { SourceRecord } from './provenance.js';
import type { NamedTensor } from './safetensors.js';
import { ModelError, type ModelConfig } from './sizes.js';

export interface ImportReport {
  /** Tensors of the model that were filled, and from what. */
  readonly taken: readonly { readonly to: string; readonly from: readonly string[]; readonly how: string }[];
  /** Tensors of the file that were not used, and why. */
  readonly notTaken: readonly { readonly from: string; readonly reason: string }[];
  /** Tensors of the model that keep their random values. */
  readonly random: readonly string[];
}

/** What is known of the rights in the imported weights. */
export type ImportRights = Pick<SourceRecord, 'licence' | 'use' | 'reference' | 'attribution'>;

interface Dense {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/**
 * A model of the given shape whose image encoder holds what `map` finds in `tensors`; all else starts at random from
 * `seed`. What does not fit is left out and reported. The weights count as learnt from one source, which is the file.
 * @throws ModelError when nothing of the transformer's blocks fits.
 */
export function importWeights(
  tensors: ReadonlyMap<string, NamedTensor>,
  map: ImportMap,
  config: ModelConfig,
  rights: ImportRights,
  seed = 0,
): { model: ModelFile; report: ImportReport } {
  const start = newModel(config, seed);
  const out = new Map(start.tensors);
  const names = new Map([...tensors.keys()].map((name) => [unprefixed(name, map.prefix), name]));
  const taken: ImportReport['taken'][number][] = [];
  const reasons = new Map<string, string>();
  for (const rule of map.tensors) {
    if (rule.constant !== undefined) continue;
    for (const i of indices(rule, names)) {
      const from = listOf(rule).map((name) => names.get(numbered(name, i)) ?? numbered(name, i));
      const to = numbered(rule.to, i);
      const target = start.tensors.get(to);
      const fail = (reason: string) => from.forEach((name) => reasons.set(name, reason));
      const missing = from.find((name) => !tensors.has(name));
      if (missing !== undefined) fail(`goes together with "${missing}", which the file lacks`);
      else if (!target) fail(`this size has no "${to}"`);
      else {
        const result = convert(
          from.map((name) => tensors.get(name)!),
          rule,
        );
        const data = typeof result === 'string' ? result : fit(result, target, rule.patch);
        if (typeof data === 'string') fail(data);
        else {
          out.set(to, { ...target, data });
          taken.push({ to, from, how: howOf(rule) });
        }
      }
    }
  }
  if (!taken.some(({ to }) => to.startsWith('image.blocks.'))) {
    const [first] = reasons;
    throw new ModelError(
      `import: at least one tensor of a block must fit size ${config.size}, got none of ${tensors.size}` +
        `${first ? ` (${first[0]}: ${first[1]})` : ' (no name matches the map)'}; choose another --size, --map or --prefix`,
    );
  }
  const filled = new Set(taken.map(({ to }) => to));
  for (const { to, constant } of map.tensors) {
    if (constant === undefined) continue;
    for (const target of start.tensors.values()) {
      const i = matchNumber(to, target.name);
      // Only in blocks that came from the file: its other branches would be out of proportion.
      if (i === null || !filled.has(`image.blocks.${i}.attention.qkv.weight`)) continue;
      out.set(target.name, { ...target, data: new Float32Array(target.data.length).fill(constant) });
      taken.push({ to: target.name, from: [], how: `filled with ${constant}` });
      filled.add(target.name);
    }
  }
  const used = new Set(taken.flatMap(({ from }) => from));
  const notTaken = [...tensors.keys()]
    .filter((name) => !used.has(name))
    .map((from) => ({ from, reason: reasons.get(from) ?? 'the map has no rule for it' }));
  const random = [...start.tensors.keys()].filter((name) => !filled.has(name));
  const id = `import-${fingerprint(tensors)}`;
  const provenance = {
    runs: [{ id, kind: 'import' }],
    sources: [{ source: id, ...rights, expires: null, series: 0 }],
    series: 0,
    seen: '',
  };
  return { model: { ...start, provenance, tensors: out }, report: { taken, notTaken, random } };
}

const unprefixed = (name: string, prefix: string): string =>
  name.startsWith(prefix) ? name.slice(prefix.length) : name;

const listOf = ({ from }: ImportRule): string[] => (typeof from === 'string' ? [from] : (from ?? []));

const numbered = (pattern: string, i: string): string => pattern.replaceAll('{i}', i);

/** The number for which `pattern` is `name`, '' for a pattern without one; null where it is not. */
function matchNumber(pattern: string, name: string): string | null {
  const [before, after] = pattern.split('{i}');
  if (after === undefined) return name === pattern ? '' : null;
  if (!name.startsWith(before!) || !name.endsWith(after)) return null;
  const i = name.slice(before!.length, name.length - after.length);
  return /^\d+$/.test(i) ? i : null;
}

/** The numbers for which the file has any of a rule's tensors, in order. */
function indices(rule: ImportRule, names: ReadonlyMap<string, string>): string[] {
  const found = new Set<string>();
  for (const pattern of listOf(rule))
    for (const name of names.keys()) {
      const i = matchNumber(pattern, name);
      if (i !== null) found.add(i);
    }
  return [...found].sort((a, b) => Number(a) - Number(b));
}

const shown = (shape: readonly number[]): string => `[${shape.join(', ')}]`;

function howOf({ from, split, transpose, patch }: ImportRule): string {
  const steps = [
    ...(Array.isArray(from) && from.length > 1 ? ['put together'] : []),
    ...(split ? [`part ${split.part + 1} of ${split.of}`] : []),
    ...(transpose ? ['transposed'] : []),
    ...(patch ? ['convolution as linear layer'] : []),
  ];
  return steps.length > 0 ? steps.join(', ') : 'as it is';
}

/** The tensor that a rule makes, or why it makes none. */
function convert(sources: readonly NamedTensor[], rule: ImportRule): Dense | string {
  let one: Dense | string = sources.length > 1 ? concatenated(sources, rule.axis) : sources[0]!;
  if (typeof one !== 'string' && rule.split) one = partOf(one, rule.split);
  if (typeof one !== 'string' && rule.transpose) one = transposed(one);
  if (typeof one !== 'string' && rule.patch) one = patchLayer(one);
  return one;
}

/** [outer, axis, inner]: how many of each a shape has about an axis. */
const about = (shape: readonly number[], axis: number): [number, number, number] => {
  const product = (part: readonly number[]) => part.reduce((a, b) => a * b, 1);
  return [product(shape.slice(0, axis)), shape[axis]!, product(shape.slice(axis + 1))];
};

function concatenated(sources: readonly Dense[], axis: number): Dense | string {
  const [first] = sources;
  const rest = (shape: readonly number[]) => shape.filter((_, d) => d !== axis).join();
  if (sources.some(({ shape }) => axis >= shape.length || rest(shape) !== rest(first!.shape)))
    return `${sources.map(({ shape }) => shown(shape)).join(' and ')} do not join along axis ${axis}`;
  const shape = first!.shape.map((n, d) =>
    d === axis ? sources.reduce((sum, one) => sum + one.shape[axis]!, 0) : n,
  );
  const [outer, length, inner] = about(shape, axis);
  const data = new Float32Array(outer * length * inner);
  let at = 0;
  for (const source of sources) {
    const row = source.shape[axis]! * inner;
    for (let o = 0; o < outer; o++)
      data.set(source.data.subarray(o * row, (o + 1) * row), o * length * inner + at);
    at += row;
  }
  return { shape, data };
}

function partOf(source: Dense, { axis, part, of }: NonNullable<ImportRule['split']>): Dense | string {
  if (axis >= source.shape.length || source.shape[axis]! % of !== 0 || part >= of)
    return `${shown(source.shape)} has no part ${part + 1} of ${of} along axis ${axis}`;
  const [outer, length, inner] = about(source.shape, axis);
  const row = (length / of) * inner;
  const data = new Float32Array(outer * row);
  for (let o = 0; o < outer; o++) {
    const from = o * length * inner + part * row;
    data.set(source.data.subarray(from, from + row), o * row);
  }
  return { shape: source.shape.map((n, d) => (d === axis ? n / of : n)), data };
}

function transposed({ shape, data }: Dense): Dense | string {
  if (shape.length !== 2) return `${shown(shape)} has not the two axes of a linear layer`;
  const [rows, columns] = shape as [number, number];
  const out = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = data[r * columns + c]!;
  return { shape: [columns, rows], data: out };
}

function patchLayer({ shape, data }: Dense): Dense | string {
  if (shape.length !== 5) return `${shown(shape)} is not a 3D convolution [out, in, z, y, x]`;
  const [width, channels, z, y, x] = shape as [number, number, number, number, number];
  const size = z * y * x;
  const out = new Float32Array(size * width);
  for (let o = 0; o < width; o++)
    for (let c = 0; c < channels; c++)
      for (let n = 0; n < size; n++) out[n * width + o]! += data[(o * channels + c) * size + n]!;
  return { shape: [size, width], data: out };
}

/**
 * The data in the target's shape, or why not. A patch layer fills the rows of the cube's samples; those that read its
 * statistics, which others' layers have not, start at 0.
 */
function fit({ shape, data }: Dense, target: NamedTensor, patch: boolean): Float32Array | string {
  const plain = (s: readonly number[]) => s.filter((n) => n !== 1).join();
  if (plain(shape) === plain(target.shape)) return data;
  const [rows, width] = target.shape;
  const samples = Math.floor(Math.cbrt(rows! + 0.5)) ** 3;
  if (patch && shape[1] === width && shape[0] === samples) {
    const out = new Float32Array(target.data.length);
    out.set(data);
    return out;
  }
  const wanted = patch
    ? `[${samples}, ${width}], a cube of ${Math.round(Math.cbrt(samples))}³ samples`
    : shown(target.shape);
  return `is ${shown(shape)} after its rule, "${target.name}" needs ${wanted}`;
}

/** Of names, shapes and values: the same weights have the same name wherever they are kept. */
function fingerprint(tensors: ReadonlyMap<string, NamedTensor>): string {
  const hash = createHash('sha256');
  for (const [name, { shape, data }] of [...tensors].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`${name}[${shape.join()}]`);
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest('hex').slice(0, 16);
}
