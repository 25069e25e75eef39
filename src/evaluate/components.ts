/** What hangs together in a mask. */
import type { Vec3 } from '../volume/volume.js';

/** Voxels of each 26-connected component of what is not 0 in a map of so many voxels along i, j, k, i fastest. */
export function components(map: ArrayLike<number>, [ni, nj, nk]: Vec3): number[][] {
  const seen = new Uint8Array(map.length);
  const all: number[][] = [];
  for (let start = 0; start < map.length; start++) {
    if (seen[start] === 1 || map[start] === 0) continue;
    const component = [start];
    seen[start] = 1;
    for (const voxel of component) {
      const [i, j, k] = [voxel % ni, Math.floor(voxel / ni) % nj, Math.floor(voxel / (ni * nj))];
      for (let c = Math.max(0, k - 1); c <= Math.min(nk - 1, k + 1); c++)
        for (let b = Math.max(0, j - 1); b <= Math.min(nj - 1, j + 1); b++)
          for (let a = Math.max(0, i - 1); a <= Math.min(ni - 1, i + 1); a++) {
            const next = a + ni * (b + nj * c);
            if (seen[next] === 1 || map[next] === 0) continue;
            seen[next] = 1;
            component.push(next);
          }
    }
    all.push(component);
  }
  return all;
}
