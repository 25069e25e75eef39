/** The kNN probe: do nearest neighbours in the embedding agree on what is known of them? */
import { Graph, type TypedArray } from '../graph/index.js';
import { imageBatch } from '../models/batch.js';
import { imageInputs } from '../models/inputs.js';
import type { ModelConfig } from '../models/sizes.js';
import { plainImageVector, vit3d } from '../models/vit3d.js';
import { oneSetOf } from '../models/windows.js';
import type { Params } from '../nn/index.js';
import type { Device, DeviceBuffer, Program } from '../runtime/index.js';
import type { Series } from '../corpus/series.js';
import type { TokenSet } from '../volume/tokens.js';
import type { VolumeCache } from './loader.js';

const FIELDS = ['bodyPart', 'contrast', 'plane'] as const;
const ROWS = 8;
const TOKENS = 128;
/** Series on either side, unless said. */
const MOST = 192;

/**
 * Accuracy of a k-nearest-neighbour vote: of each query vector, the label most common (by summed cosine) among its `k`
 * nearest references (Wu et al. 2018). Vectors are unit; a null label takes no part. NaN when nothing can be asked.
 */
export function knnAccuracy(
  references: readonly { vector: Float32Array; label: string | null }[],
  queries: readonly { vector: Float32Array; label: string | null }[],
  k: number,
): number {
  const known = references.filter(({ label }) => label !== null);
  const asked = queries.filter(({ label }) => label !== null);
  if (known.length === 0 || asked.length === 0) return NaN;
  let right = 0;
  for (const query of asked) {
    const near = known
      .map(({ vector, label }) => ({ label: label!, cosine: dot(vector, query.vector) }))
      .sort((a, b) => b.cosine - a.cosine)
      .slice(0, k);
    const votes = new Map<string, number>();
    for (const { label, cosine } of near) votes.set(label, (votes.get(label) ?? 0) + 1 + cosine);
    const [best] = [...votes].sort((a, b) => b[1] - a[1]);
    if (best![0] === query.label) right++;
  }
  return right / asked.length;
}

const dot = (a: Float32Array, b: Float32Array): number => {
  let sum = 0;
  for (let n = 0; n < a.length; n++) sum += a[n]! * b[n]!;
  return sum;
};

/**
 * A probe over up to `most` training series (references) and as many held-out ones (queries), for the fields
 * body part, contrast and plane. Tokens are cut once; each call runs the image encoder on the weights given.
 */
export function knnProbe(
  params: Params,
  config: ModelConfig,
  cache: VolumeCache,
  training: readonly Series[],
  heldOut: readonly Series[],
  most = MOST,
): (device: Device, weights: DeviceBuffer) => Promise<Record<string, number>> {
  let cut: Promise<{ series: Series; tokens: TokenSet }[][]> | null = null;
  let program: Promise<Program> | null = null;
  const evenly = (all: readonly Series[]): Series[] =>
    all.filter((_, n) => Math.floor((n * most) / all.length) !== Math.floor(((n - 1) * most) / all.length));
  const cutAll = (lists: Series[][]): Promise<{ series: Series; tokens: TokenSet }[][]> =>
    Promise.all(
      lists.map(async (list) => {
        const out = [];
        for (const series of list) {
          const prepared = await cache.get(series.id);
          if (!prepared) continue;
          out.push({
            series,
            tokens: await oneSetOf(prepared, config.samples, { patchMm: 16, maxTokens: TOKENS }),
          });
        }
        return out;
      }),
    );
  return async (device, weights) => {
    cut ??= cutAll([evenly(training), evenly(heldOut)]);
    program ??= device.load(probeProgram(params, config));
    const [references, queries] = await cut;
    const run = await program;
    const embed = async (items: { series: Series; tokens: TokenSet }[]) => {
      const out: { series: Series; vector: Float32Array }[] = [];
      for (let at = 0; at < items.length; at += ROWS) {
        const some = items.slice(at, at + ROWS);
        const sets = Array.from({ length: ROWS }, (_, n) => some[Math.min(n, some.length - 1)]!.tokens);
        const feeds: Record<string, TypedArray | DeviceBuffer> = { params: weights };
        for (const [name, data] of Object.entries(imageBatch(sets, TOKENS, config.samples)))
          feeds[`image.${name}`] = data as Float32Array;
        const { vector } = await run.run(feeds);
        const width = vector!.length / ROWS;
        some.forEach(({ series }, n) =>
          out.push({ series, vector: (vector as Float32Array).slice(n * width, (n + 1) * width) }),
        );
      }
      return out;
    };
    const [known, asked] = [await embed(references!), await embed(queries!)];
    const scores: Record<string, number> = {};
    for (const field of FIELDS) {
      const labelled = (list: typeof known) =>
        list.map(({ series, vector }) => ({
          vector,
          label: series[field].toLowerCase() === 'unknown' ? null : series[field],
        }));
      const score = knnAccuracy(labelled(known), labelled(asked), 5);
      if (!Number.isNaN(score)) scores[`knn.${field}`] = Number(score.toFixed(4));
    }
    return scores;
  };
}

function probeProgram(params: Params, config: ModelConfig): Graph {
  const graph = new Graph('probe');
  const scope = params.bind(graph.input('params', 'float32', [params.size]));
  const features = vit3d(
    scope.child('image'),
    config,
    imageInputs(graph, 'image', ROWS, TOKENS, config.samples),
  );
  graph.output('vector', plainImageVector(features));
  return graph;
}
