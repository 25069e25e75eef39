/** Plans the series of volume files: NIfTI, NRRD, MGH and MetaImage. */
import { createHash } from 'node:crypto';
import { createGunzip } from 'node:zlib';
import { existsBytes, openBytes, streamBytes } from '../formats/bytes.js';
import { ForwardReader } from '../formats/forward.js';
import { readHeader } from '../formats/nifti/header.js';
import { NiftiError } from '../formats/nifti/index.js';
import { openImageFile } from '../formats/volume-files.js';
import { type HeaderFields, NO_FIELDS } from '../text/header.js';
import type { BidsDatasets, BidsImage } from './bids.js';
import { describingNames, type FileFormat, imageStem, ownerOf } from './file-names.js';
import type { FileMetadata, MetadataTable } from './metadata-csv.js';
import { MOST_REPEATS, type Plan } from './plan.js';
import type { Pseudonyms } from './pseudonym.js';
import type { Series } from './series.js';
import { readBValues, readSidecar, type Sidecar, sidecarOf } from './sidecar.js';
import type { SourceFile } from './walk.js';

export interface FileContext {
  readonly pseudonyms: Pseudonyms;
  /** Pseudonyms of the sources. */
  readonly sources: readonly string[];
  readonly plan: Plan;
  readonly datasets: BidsDatasets;
  readonly metadata: MetadataTable | null;
  /** Keeps every frame of long series too. */
  readonly everyVolume: boolean;
  /** Files that belong to an image and are none themselves are added here. */
  readonly parts: Set<string>;
}

/** What of a file is known before its voxels are read. */
interface Contents {
  /** SHA-256 of all its files, unpacked where they are gzipped. */
  readonly content: string;
  readonly frames: number;
  readonly fields: Partial<HeaderFields>;
  /** From frame to frame; null where the file does not say. */
  readonly seconds: number | null;
}

/**
 * Adds the series of one file to the plan: every frame up to MOST_REPEATS, the first frame of longer ones (in time
 * series the frames repeat one image; in diffusion the first is the one without weighting) unless all are asked for.
 *
 * @throws the format's error or a system error when the file cannot be read.
 */
export async function planFile(file: SourceFile, format: FileFormat, context: FileContext): Promise<void> {
  const { pseudonyms, plan } = context;
  const { content, frames, fields, seconds } = await contentsOf(file.path, format, context.parts);
  const bids = await context.datasets.describe(file.path, file.root);
  const row = context.metadata?.of(file.path) ?? null;
  const sidecar = bids?.sidecar == null ? await readSidecar(file.path) : sidecarOf(bids.sidecar);
  const modality = sidecar?.modality ?? '';
  if (modality !== '' && !/^MR/i.test(modality)) {
    plan.skipped.push({ path: file.shown, reason: `modality is ${modality}, not MR` });
    return;
  }
  if (bids !== null && bids.derived !== null) {
    plan.skipped.push({ path: file.shown, reason: bids.derived });
    return;
  }
  const who = whose(file.path, bids, row);
  const kept = frames > MOST_REPEATS && !context.everyVolume ? 1 : frames;
  if (kept < frames) plan.notes.push({ path: file.shown, reason: `kept the first of ${frames} frames` });
  const bValues = frames > 1 ? await readBValues(file.path, frames) : null;
  for (let frame = 0; frame < kept; frame++) {
    plan.planned.push({
      id: pseudonyms.series(format, content, String(frame)),
      studyId: pseudonyms.study(who.kind, ...who.study),
      patientId: pseudonyms.patient(who.kind, ...who.patient),
      source: context.sources[file.source]!,
      fields: {
        ...fieldsOf(file.path, { ...fields }, sidecar, row),
        ...(bValues !== null && { bValue: bValues[frame]! }),
      },
      axes: frames > 1 ? [frameAxis(frame, frames, bValues, seconds)] : [],
      comments: row?.report ?? '',
      identifying: {
        kind: 'values',
        values: [
          ...(sidecar?.identifying ?? []),
          ...(row === null ? [] : [row.patient, row.study, ...row.others]),
        ].filter((value) => value !== ''),
      },
      instances: 1,
      missingSlices: [],
      shown: file.shown,
      voxels: { kind: 'file', format, path: file.path, frame },
      name: imageStem(file.path),
      keys: { accession: '', studyUid: '', patient: who.patient.at(-1) ?? '', date: '', path: file.path },
      date: sidecar?.date ?? '',
      sex: row?.sex ?? bids?.subject.sex ?? null,
      ageYears: row?.ageYears ?? bids?.subject.ageYears ?? null,
    });
  }
}

/** Frames are b-values where the file has a table of them beside it, else points in time (nifti1.h: dim[4] is time). */
function frameAxis(
  frame: number,
  frames: number,
  bValues: readonly number[] | null,
  seconds: number | null,
): Series['axes'][number] {
  const value = bValues === null ? (seconds === null ? null : frame * seconds) : bValues[frame]!;
  return { name: bValues === null ? 'time' : 'b-value', value, index: frame, count: frames };
}

interface Whose {
  /** What keeps ids of different makings apart. */
  readonly kind: 'nifti' | 'metadata';
  readonly patient: readonly string[];
  readonly study: readonly string[];
}

/** A table's word counts most, then the data set's, then what names of files and folders say. */
function whose(path: string, bids: BidsImage | null, row: FileMetadata | null): Whose {
  const named = ownerOf(path);
  const study = bids === null ? named.study : [...bids.patient, bids.session];
  if (row !== null && row.patient !== '')
    return {
      kind: 'metadata',
      patient: [row.patient],
      study: [row.patient, ...(row.study === '' ? study : [row.study])],
    };
  const patient = bids === null ? named.patient : bids.patient;
  return {
    kind: 'nifti',
    patient,
    study: row !== null && row.study !== '' ? [...patient, row.study] : study,
  };
}

function fieldsOf(
  path: string,
  own: Partial<HeaderFields>,
  sidecar: Sidecar | null,
  row: FileMetadata | null,
): HeaderFields {
  const known = sidecar?.fields ?? { ...NO_FIELDS, ...own };
  return {
    ...known,
    ...(row !== null && row.description !== '' && { seriesDescription: row.description }),
    ...(row !== null && row.contrast !== '' && { protocolName: row.contrast }),
    ...(row !== null && row.bodyPart !== '' && { bodyPartExamined: row.bodyPart }),
    names: describingNames(path),
  };
}

/** A NIfTI-2 header is 540 bytes long, a NIfTI-1 header 348. */
const NIFTI_HEADER = 544;

async function contentsOf(path: string, format: FileFormat, parts: Set<string>): Promise<Contents> {
  if (format === 'nifti') {
    const files = await niftiFiles(path);
    const head = await unpackedStart(files[0]!, NIFTI_HEADER);
    const { frames, seconds } = readHeader(head, path);
    return { content: await contentHash(files), frames, fields: {}, seconds };
  }
  const image = await openImageFile(format, path);
  for (const one of image.paths.slice(1)) parts.add(one);
  return {
    content: await contentHash(image.paths),
    frames: image.frames,
    fields: image.parameters ?? {},
    seconds: null,
  };
}

/** Of all files after one another, gunzipped, so that a compressed copy is the same image. */
async function contentHash(paths: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const path of paths) {
    const source = await openBytes(path);
    try {
      if (!isGzip(await source.read(0, 2))) {
        for await (const piece of streamBytes(path)) hash.update(piece);
        continue;
      }
      const reader = gunzipped(source, path);
      const piece = new Uint8Array(1 << 20);
      for (let at = 0; ;) {
        const there = await reader.readInto(at, piece);
        if (there === 0) break;
        hash.update(piece.subarray(0, there));
        at += there;
      }
      await reader.close();
    } finally {
      await source.close();
    }
  }
  return hash.digest('hex');
}

/** By content (RFC 1952), because a name may say otherwise. */
const isGzip = (bytes: Uint8Array): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b;

const gunzipped = (source: Awaited<ReturnType<typeof openBytes>>, path: string): ForwardReader =>
  new ForwardReader(
    source,
    0,
    source.size,
    () => createGunzip(),
    (cause) =>
      new NiftiError(`read NIfTI: ${path} must be whole gzip data; it is damaged or cut off, copy it again`, {
        cause,
      }),
  );

async function unpackedStart(path: string, length: number): Promise<Uint8Array> {
  const source = await openBytes(path);
  try {
    if (!isGzip(await source.read(0, 2))) return await source.read(0, length);
    const reader = gunzipped(source, path);
    const target = new Uint8Array(length);
    const there = await reader.readInto(0, target);
    await reader.close();
    return target.subarray(0, there);
  } finally {
    await source.close();
  }
}

/** The file itself, or the header and the voxels of a pair, each gzipped or not. */
async function niftiFiles(path: string): Promise<string[]> {
  const pair = /^(.*)\.(hdr|img)(\.gz)?$/i.exec(path);
  if (pair === null) return [path];
  const upper = pair[2] === pair[2]!.toUpperCase();
  const find = async (ending: string): Promise<string> => {
    const plain = `${pair[1]!}.${upper ? ending.toUpperCase() : ending}`;
    for (const candidate of [plain, `${plain}.gz`]) {
      if (await existsBytes(candidate)) return candidate;
    }
    throw new NiftiError(`read NIfTI: ${path} is half of a pair; put its .${ending} file beside it`);
  };
  return [await find('hdr'), await find('img')];
}
