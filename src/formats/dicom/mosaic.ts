/**
 * Siemens mosaics: all slices of a volume as tiles of one image. No standard describes them; what is followed here
 * is NiBabel's "Siemens mosaic format" (nipy.org/nibabel/dicom/dicom_mosaic.html) and "Siemens format DICOM with CSA
 * header" (siemens_csa.html), and dcm2niix agrees.
 */
import { dot, cross } from '../../volume/affine.js';
import type { DataSet } from './dataset.js';
import type { DicomInstance } from './instance.js';
import { tripleOf } from './plane.js';

/** Where in the image of its file a tile lies, in pixels. */
export interface Tile {
  readonly left: number;
  readonly top: number;
  /** Of the whole image. */
  readonly rows: number;
  readonly columns: number;
}

/**
 * Every slice of the mosaic `file`, as if it were a file of its own. Tiles run along rows, then down; there are as
 * many in a row as in a column. Image Position is that of the corner which an image of the mosaic's size would have,
 * were it centred on the slice. Slices follow one another along the slice normal of the CSA header, which may point
 * against the cross product of row and column. Empty where the file is no mosaic or does not say enough.
 */
export function tilesOf(dataSet: DataSet, file: DicomInstance): DicomInstance[] {
  const { imageType, imageOrientation, imagePosition, pixelSpacing, rows, columns } = file;
  if (!imageType.includes('MOSAIC') || imageOrientation === null || imagePosition === null) return [];
  if (pixelSpacing === null || rows === null || columns === null) return [];
  const csa = csaOf(dataSet);
  const count =
    dataSet.binary(dataSet.privateTag(0x0019, 'SIEMENS MR HEADER', 0x0a)) ??
    csa.get('NumberOfImagesInMosaic')?.[0] ??
    0;
  const normal = tripleOf(csa.get('SliceNormalVector') ?? []);
  const step = file.spacingBetweenSlices ?? file.sliceThickness ?? 0;
  const across = Math.ceil(Math.sqrt(count));
  if (normal === null || !(step > 0) || !Number.isInteger(count) || count < 1) return [];
  if (across > Math.min(rows, columns) || rows % across !== 0 || columns % across !== 0) return [];

  const { row, column } = imageOrientation;
  const direction = cross(row, column);
  const along = Math.sign(dot(direction, normal)) * step;
  const size = { rows: rows / across, columns: columns / across };
  const right = ((columns - size.columns) / 2) * pixelSpacing[1];
  const down = ((rows - size.rows) / 2) * pixelSpacing[0];
  return Array.from({ length: count }, (_, n) => {
    const at = (axis: 0 | 1 | 2): number =>
      imagePosition[axis] + row[axis] * right + column[axis] * down + direction[axis] * along * n;
    return {
      ...file,
      ...size,
      frame: n,
      imagePosition: [at(0), at(1), at(2)],
      tile: {
        left: (n % across) * size.columns,
        top: Math.floor(n / across) * size.rows,
        rows,
        columns,
      },
    };
  });
}

/** Tags of the CSA Image Header Info with numbers as values; empty where there is none of the form that starts "SV10". */
function csaOf(dataSet: DataSet): Map<string, number[]> {
  const tags = new Map<string, number[]>();
  const element = dataSet.element(dataSet.privateTag(0x0029, 'SIEMENS CSA HEADER', 0x10));
  if (element === undefined) return tags;
  const bytes = Buffer.from(
    dataSet.bytes.buffer,
    dataSet.bytes.byteOffset + element.offset,
    Math.min(element.length, dataSet.bytes.length - element.offset),
  );
  if (bytes.length < 16 || bytes.toString('latin1', 0, 4) !== 'SV10') return tags;
  let at = 16;
  for (let left = bytes.readUInt32LE(8); left > 0 && at + 84 <= bytes.length; left--) {
    const name = bytes.toString('latin1', at, at + 64).replace(/\0.*$/s, '');
    const items = bytes.readUInt32LE(at + 76);
    const values: number[] = [];
    at += 84;
    for (let item = 0; item < items && at + 16 <= bytes.length; item++) {
      const length = bytes.readUInt32LE(at + 4);
      const text = bytes.toString('latin1', at + 16, at + 16 + length).replace(/\0.*$/s, '');
      if (text.trim() !== '') values.push(Number(text));
      at += 16 + Math.ceil(length / 4) * 4;
    }
    if (values.every(Number.isFinite)) tags.set(name, values);
  }
  return tags;
}
