/** Vectors laid out on a plane, so that a person sees which lie together. */
import { UMAP } from 'umap-js';
import { Random } from '../volume/random.js';

/** Neighbours that decide the layout: the default of the method's authors. */
const NEIGHBOURS = 15;
/** Fewer points have no layout that says more than chance. */
const FEWEST = 8;

/**
 * Places in the unit square for vectors, near each other where the angle between vectors is small (UMAP of McInnes, Healy
 * and Melville 2018, of unit vectors, 15 neighbours, minimal distance 0.1). The same vectors and seed give the same map.
 * Only who is near whom means something: axes, gaps and sizes of groups do not.
 * @param vectors [n] of one length.
 * @returns [n] of x and y, or null for fewer than eight vectors.
 */
export function layOut(vectors: readonly Float32Array[], seed = 0): { x: number; y: number }[] | null {
  if (vectors.length < FEWEST) return null;
  const random = new Random(seed, 0x3a9);
  const umap = new UMAP({
    nNeighbors: Math.min(NEIGHBOURS, vectors.length - 1),
    random: () => random.uniform(),
  });
  const places = umap.fit(vectors.map(unit));
  const span = [0, 1].map((d) => {
    const of = places.map((place) => place[d]!);
    const low = of.reduce((a, b) => Math.min(a, b));
    return { low, size: of.reduce((a, b) => Math.max(a, b)) - low || 1 };
  });
  const at = (place: readonly number[], d: 0 | 1): number => (place[d]! - span[d]!.low) / span[d]!.size;
  return places.map((place) => ({ x: at(place, 0), y: at(place, 1) }));
}

function unit(vector: Float32Array): number[] {
  const length = Math.hypot(...vector) || 1;
  return Array.from(vector, (value) => value / length);
}
