/** What the encoder makes of a few images while it learns: principal components of its tokens, and where it looks. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Series } from '../corpus/series.js';
import { Graph, type TypedArray } from '../graph/index.js';
import { imageBatch } from '../models/batch.js';
import { imageInputs } from '../models/inputs.js';
import type { ModelConfig } from '../models/sizes.js';
import { vit3d } from '../models/vit3d.js';
import { oneSetOf } from '../models/windows.js';
import type { Params } from '../nn/index.js';
import type { Device, DeviceBuffer, Program } from '../runtime/index.js';
import { PLANE_AXES, type PicturePlane } from '../volume/slice.js';
import type { TokenSet } from '../volume/tokens.js';
import type { VolumeCache } from './loader.js';

/** A line a probe: maps of the same series over a run. No voxels: pictures are drawn from the corpus, while it has them. */
export const MAPS_FILE = 'maps.jsonl';

/** One layer of tokens of a series. */
export interface SeriesMap {
  readonly id: string;
  readonly plane: PicturePlane;
  /** Side of a token. */
  readonly patchMm: number;
  /** Where the layer lies on the axis through the plane, RAS+ mm. */
  readonly atMm: number;
  /**
   * Of each token: its centre along the two axes of the plane (RAS+ mm), red, green and blue from its first three
   * principal components (0 to 255), and the class token's attention, 1 where it is greatest in the image.
   */
  readonly cells: readonly (readonly [
    across: number,
    down: number,
    red: number,
    green: number,
    blue: number,
    attention: number,
  ])[];
}

export interface StepMaps {
  readonly step: number;
  readonly series: readonly SeriesMap[];
}

const SHOWN = 4;
const TOKENS = 256;

/**
 * Maps of up to {@link SHOWN} training series, of different body parts where there are. They are of the training set so
 * that the run's record of what it saw, by which a withdrawn patient's runs are found, covers them.
 */
export function mapProbe(
  params: Params,
  config: ModelConfig,
  cache: VolumeCache,
  training: readonly Series[],
): (device: Device, weights: DeviceBuffer) => Promise<SeriesMap[]> {
  let cut: Promise<{ series: Series; set: TokenSet }[]> | null = null;
  let program: Promise<Program> | null = null;
  const cutAll = async () => {
    const out: { series: Series; set: TokenSet }[] = [];
    for (const series of differentParts(training)) {
      const image = await cache.get(series.id);
      if (image)
        out.push({
          series,
          set: await oneSetOf(image, config.samples, { patchMm: 16, maxTokens: TOKENS }),
        });
    }
    return out;
  };
  return async (device, weights) => {
    const shown = await (cut ??= cutAll());
    if (shown.length === 0) return [];
    const run = await (program ??= device.load(mapProgram(params, config, shown.length)));
    const feeds: Record<string, TypedArray | DeviceBuffer> = { params: weights };
    const batch = imageBatch(
      shown.map(({ set }) => set),
      TOKENS,
      config.samples,
    );
    for (const [name, data] of Object.entries(batch)) feeds[`image.${name}`] = data as Float32Array;
    const { tokens, attention } = await run.run(feeds);
    return mapsOf(shown, tokens as Float32Array, attention as Float32Array, config.embedDim);
  };
}

/** One series of each body part in turn, in the order given. */
function differentParts(series: readonly Series[]): Series[] {
  const first = series.filter(
    ({ bodyPart }, n) => series.findIndex((one) => one.bodyPart === bodyPart) === n,
  );
  return [...first, ...series.filter((one) => !first.includes(one))].slice(0, SHOWN);
}

function mapProgram(params: Params, config: ModelConfig, rows: number): Graph {
  const graph = new Graph('maps');
  const scope = params.bind(graph.input('params', 'float32', [params.size]));
  const input = imageInputs(graph, 'image', rows, TOKENS, config.samples);
  const { tokens, attention } = vit3d(scope.child('image'), config, input, { attention: true });
  graph.output('tokens', tokens);
  graph.output('attention', attention!);
  return graph;
}

/** tokens [rows, TOKENS, dim] and attention [rows, TOKENS], of which the first `set.count` of each row are tokens. */
function mapsOf(
  shown: readonly { series: Series; set: TokenSet }[],
  tokens: Float32Array,
  attention: Float32Array,
  dim: number,
): SeriesMap[] {
  const rows: Float32Array[] = [];
  shown.forEach(({ set }, row) => {
    for (let n = 0; n < set.count; n++) {
      const at = (row * TOKENS + n) * dim;
      rows.push(tokens.subarray(at, at + dim));
    }
  });
  const colours = colourOf(rows);
  let first = 0;
  return shown.map(({ series, set }, row) => {
    const plane = isPlane(series.plane) ? series.plane : 'axial';
    const { across, down, through } = PLANE_AXES[plane];
    const place = (n: number, axis: number): number => set.positions[n * 3 + axis]!;
    const all = Array.from({ length: set.count }, (_, n) => n);
    const layers = new Map<number, number[]>();
    for (const n of all) {
      const at = Math.round(place(n, through) * 100) / 100;
      layers.set(at, [...(layers.get(at) ?? []), n]);
    }
    const [atMm, layer] = [...layers].sort((a, b) => b[1].length - a[1].length)[0]!;
    const most = Math.max(...all.map((n) => attention[row * TOKENS + n]!));
    const cells = layer.map((n) => {
      const [red, green, blue] = colours[first + n]!;
      const seen = Math.round((1000 * attention[row * TOKENS + n]!) / most) / 1000;
      return [round(place(n, across)), round(place(n, down)), red, green, blue, seen] as const;
    });
    first += set.count;
    return { id: series.id, plane, patchMm: set.patchMm, atMm, cells };
  });
}

const round = (mm: number): number => Math.round(mm * 10) / 10;
const isPlane = (plane: string): plane is PicturePlane => Object.hasOwn(PLANE_AXES, plane);

/**
 * Colours of vectors [rows][dim]: their first three principal components, each from its 2nd to its 98th percentile over
 * 0 to 255 (as DINOv2 shows its patches, Oquab et al. 2023). The long tail of each component is made the bright end, so
 * that colours do not turn over from one step to the next.
 */
export function colourOf(rows: readonly Float32Array[]): [number, number, number][] {
  const dim = rows[0]!.length;
  const mean = new Float64Array(dim);
  for (const row of rows) row.forEach((v, d) => (mean[d]! += v / rows.length));
  const left = rows.map((row) => Float64Array.from(row, (v, d) => v - mean[d]!));
  const components = [0, 1, 2].map(() => takeComponent(left));
  return rows.map((_, n) => components.map((scores) => scores[n]!) as [number, number, number]);
}

const ROUNDS = 60;

/** The first principal component of centred rows by power iteration: its scores as colours. Takes it out of the rows. */
function takeComponent(rows: readonly Float64Array[]): number[] {
  const dim = rows[0]!.length;
  const unit = (v: Float64Array): Float64Array => {
    const length = Math.hypot(...v);
    return length > 0 ? v.map((x) => x / length) : v;
  };
  const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, d) => sum + x * b[d]!, 0);
  // The longest row is not orthogonal to the component, unless by accident; a fixed start keeps steps comparable.
  let axis = unit(rows.reduce((best, row) => (dot(row, row) > dot(best, best) ? row : best)).slice());
  for (let round = 0; round < ROUNDS; round++) {
    const next = new Float64Array(dim);
    for (const row of rows) {
      const score = dot(row, axis);
      for (let d = 0; d < dim; d++) next[d]! += score * row[d]!;
    }
    axis = unit(next);
  }
  const scores = rows.map((row) => dot(row, axis));
  rows.forEach((row, n) => {
    for (let d = 0; d < dim; d++) row[d]! -= scores[n]! * axis[d]!;
  });
  const sign = scores.reduce((sum, s) => sum + s ** 3, 0) < 0 ? -1 : 1;
  const sorted = scores.map((s) => sign * s).sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))]!;
  const [low, high] = [at(0.02), at(0.98)];
  return scores.map((s) =>
    high > low ? Math.round(Math.min(1, Math.max(0, (sign * s - low) / (high - low))) * 255) : 128,
  );
}

/** The maps of a run, oldest first; none where it has none. */
export async function readMaps(run: string): Promise<StepMaps[]> {
  const text = await readFile(join(run, MAPS_FILE), 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    try {
      return line === '' ? [] : [JSON.parse(line) as StepMaps];
    } catch {
      // The line that is being written.
      return [];
    }
  });
}
