/** Plans the series of NIfTI files. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { readHeader } from '../formats/nifti/header.js';
import { NiftiError } from '../formats/nifti/index.js';
import { NO_FIELDS } from '../text/header.js';
import { describingNames, imageStem, ownerOf } from './file-names.js';
import { MOST_REPEATS, type Plan } from './plan.js';
import type { Pseudonyms } from './pseudonym.js';
import { readSidecar } from './sidecar.js';
import type { SourceFile } from './walk.js';

/** A NIfTI-2 header is 540 bytes long, a NIfTI-1 header 348. */
const HEADER_BYTES = 544;

/**
 * Adds the series of one NIfTI file to the plan: every frame up to MOST_REPEATS, the first frame of longer ones (in
 * time series the frames repeat one image; in diffusion the first is the one without weighting).
 *
 * @throws NiftiError or a system error when the file cannot be read.
 */
export async function planNifti(
  file: SourceFile,
  pseudonyms: Pseudonyms,
  sources: readonly string[],
  plan: Plan,
): Promise<void> {
  const { content, frames } = await fingerprint(file.path);
  const sidecar = await readSidecar(file.path);
  if (sidecar !== null && sidecar.modality !== '' && !/^MR/i.test(sidecar.modality)) {
    plan.skipped.push({ path: file.shown, reason: `modality is ${sidecar.modality}, not MR` });
    return;
  }
  const who = ownerOf(file.path);
  const kept = frames > MOST_REPEATS ? 1 : frames;
  if (kept < frames) plan.notes.push({ path: file.shown, reason: `kept the first of ${frames} frames` });
  for (let frame = 0; frame < kept; frame++) {
    plan.planned.push({
      id: pseudonyms.series('nifti', content, String(frame)),
      studyId: pseudonyms.study('nifti', ...who.study),
      patientId: pseudonyms.patient('nifti', ...who.patient),
      source: sources[file.source]!,
      fields: { ...(sidecar?.fields ?? NO_FIELDS), names: describingNames(file.path) },
      comments: '',
      identifying: { kind: 'values', values: sidecar?.identifying ?? [] },
      instances: 1,
      missingSlices: [],
      shown: file.shown,
      voxels: { kind: 'file', format: 'nifti', path: file.path, frame },
      name: imageStem(file.path),
      keys: { accession: '', studyUid: '', patient: who.patient.at(-1) ?? '', date: '', path: file.path },
    });
  }
}

/**
 * SHA-256 of the file's content, gunzipped, so that a compressed copy is the same image; of a pair, of both files.
 * The header is read on the way.
 */
async function fingerprint(path: string): Promise<{ content: string; frames: number }> {
  const hash = createHash('sha256');
  let head = Buffer.alloc(0);
  for (const [at, one] of (await filesOf(path)).entries()) {
    const stream = createReadStream(one, { highWaterMark: 1 << 20 });
    const sink = async (chunks: AsyncIterable<Buffer>): Promise<void> => {
      for await (const chunk of chunks) {
        hash.update(chunk);
        if (at === 0 && head.length < HEADER_BYTES) head = Buffer.concat([head, chunk]);
      }
    };
    if (await isGzip(one)) await pipeline(stream, createGunzip(), sink);
    else await pipeline(stream, sink);
  }
  return { content: hash.digest('hex'), frames: readHeader(head, path).frames };
}

/** By content (RFC 1952), because a name may say otherwise. */
async function isGzip(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { buffer } = await file.read(Buffer.alloc(2), 0, 2, 0);
    return buffer[0] === 0x1f && buffer[1] === 0x8b;
  } finally {
    await file.close();
  }
}

/** The file itself, or the header and the voxels of a pair, each gzipped or not. */
async function filesOf(path: string): Promise<string[]> {
  const pair = /^(.*)\.(hdr|img)(\.gz)?$/i.exec(path);
  if (pair === null) return [path];
  const upper = pair[2] === pair[2]!.toUpperCase();
  const find = async (ending: string): Promise<string> => {
    const plain = `${pair[1]!}.${upper ? ending.toUpperCase() : ending}`;
    for (const candidate of [plain, `${plain}.gz`]) {
      if (await exists(candidate)) return candidate;
    }
    throw new NiftiError(`read NIfTI: ${path} is half of a pair; put its .${ending} file beside it`);
  };
  return [await find('hdr'), await find('img')];
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
