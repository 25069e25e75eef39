/**
 * NRRD (Teem's "Definition of NRRD File Format", versions 1 to 5): .nrrd, and .nhdr with the voxels in files beside it.
 */
import { openBytes } from '../bytes.js';
import { cellBytes } from '../cells.js';
import { besideHeader, numberedNames } from '../data-files.js';
import { headerLines } from '../header-text.js';
import { imageFile, type ImageFile, type Part } from '../image-file.js';
import { NrrdError } from './error.js';
import { type NrrdHeader, parseNrrdHeader } from './header.js';

export { NrrdError } from './error.js';

const fail = (rule: string, cause?: unknown): NrrdError => new NrrdError(`read NRRD: ${rule}`, { cause });

/**
 * Opens the NRRD image at `path`, as openBytes takes it. Axes that are not of space (time, gradient directions, lists)
 * become frames. Where the header names no space, axes are taken as those of ITK: left, posterior, superior.
 *
 * @throws NrrdError when the header breaks a rule, the image is no 3D image of real numbers, or voxels are missing.
 */
export async function openNrrd(path: string): Promise<ImageFile> {
  const source = await openBytes(path);
  let header: NrrdHeader;
  let start: number;
  try {
    const read = await headerLines(source, (line) => line === '' || /^data ?file:\s*LIST/i.test(line));
    if (read === null) throw fail(`${path} must have a header that ends with an empty line; it is damaged`);
    header = parseNrrdHeader(read.lines, path);
    start = read.bytes;
    if (header.dataFile === null && !read.ended)
      throw fail(`${path} ends inside its header; copy the file again from its source`);
    if (header.dataFile?.startsWith('LIST') === true) {
      const rest = await source.read(start, Math.min(source.size - start, 4 << 20));
      header = { ...header, list: Buffer.from(rest).toString('utf8').split(/\r?\n/).filter(Boolean) };
    }
  } finally {
    await source.close();
  }
  const files = header.dataFile === null ? [path] : dataFiles(header, path);
  const { sizes, spatial, type, littleEndian, affine } = header;
  const total = sizes.reduce((product, size) => product * size, 1);
  if (total % files.length !== 0)
    throw fail(
      `the ${files.length} data files of ${path} must share ${total} voxels evenly; the header is damaged`,
    );
  const parts: Part[] = [];
  for (const file of files)
    parts.push(await partOf(header, file, file === path ? start : 0, total / files.length));
  return imageFile({
    path,
    paths: header.dataFile === null ? [path] : [path, ...files],
    affine,
    type,
    littleEndian,
    sizes,
    spatial,
    parts,
    fail,
  });
}

async function partOf(header: NrrdHeader, path: string, start: number, count: number): Promise<Part> {
  const { encoding, byteSkip, type } = header;
  const from = start + (await afterLines(path, start, header.lineSkip));
  // "line skip" counts before inflating, "byte skip" after it.
  if (encoding === 'deflate') return { path, encoding, start: from, skip: Math.max(0, byteSkip), count };
  if (byteSkip < 0) {
    if (encoding !== 'raw')
      throw fail(`byte skip of ${path} may be -1 with raw encoding only; correct the header`);
    return { path, encoding, start: null, skip: 0, count };
  }
  if (!Number.isSafeInteger(count * cellBytes(type)))
    throw fail(`${path} is too large; the header is damaged`);
  return { path, encoding, start: from + byteSkip, skip: 0, count };
}

/** Bytes of the first `lines` lines after `start`. */
async function afterLines(path: string, start: number, lines: number): Promise<number> {
  if (lines === 0) return 0;
  const source = await openBytes(path);
  try {
    const bytes = Buffer.from(await source.read(start, 4 << 20));
    let at = 0;
    for (let n = 0; n < lines; n++) {
      at = bytes.indexOf(10, at) + 1;
      if (at === 0)
        throw fail(`${path} must have ${lines} lines before its voxels, but has ${n}; correct line skip`);
    }
    return at;
  } finally {
    await source.close();
  }
}

/** "FILE", "PATTERN MIN MAX STEP [SUBDIM]" or "LIST [SUBDIM]" with a name a line. */
function dataFiles(header: NrrdHeader, path: string): string[] {
  const field = header.dataFile!;
  const numbered = /^(.*?%\d*d\S*)\s+(-?\d+)\s+(-?\d+)\s+(-?\d+)(?:\s+\d+)?$/.exec(field);
  const names = field.startsWith('LIST')
    ? header.list
    : numbered !== null
      ? numberedNames(numbered[1]!, Number(numbered[2]), Number(numbered[3]), Number(numbered[4]))
      : [field];
  if (names === null || names.length === 0)
    throw fail(
      `data file of ${path} must name files, got ${JSON.stringify(field.slice(0, 60))}; correct the header`,
    );
  return names.map((name) => {
    const file = besideHeader(path, name);
    if (file === null)
      throw fail(
        `data file of ${path} must be in the header's folder, got ${JSON.stringify(name)}; move it there`,
      );
    return file;
  });
}
