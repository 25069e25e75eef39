// Reads an NRRD file N slices at a time: node slabs.mjs FILE N. Prints the peak of its memory, MB.
import { peakMemoryMB } from '../../dist/cli/shared.js';
import { openVoxels } from '../../dist/corpus/voxel-source.js';

const [path, slices] = process.argv.slice(2);
const image = await openVoxels({ kind: 'file', format: 'nrrd', path, frame: 0 });
const [, , nk] = image.shape;
let seen = 0;
for (let k = 0; k < nk; k += Number(slices))
  seen += (await image.readSlices(k, Math.min(nk, k + Number(slices)))).data.length;
await image.close();
if (seen * 2 !== image.bytes) throw new Error(`${image.bytes / 2} voxels were expected, got ${seen}`);
process.stdout.write(`${peakMemoryMB()}\n`);
