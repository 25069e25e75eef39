/** A segmentation head as a folder: the decoder with its labels, and the encoder whose tokens it reads. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { MODEL_FILE, openModel, writeModel, type ModelFile } from '../../models/model-file.js';
import { readSafetensors, writeSafetensors, type NamedTensor } from '../../models/safetensors.js';
import type { DecoderConfig } from '../../models/segment-decoder.js';
import { TaskError } from '../error.js';
import type { LabelTable } from './labels.js';

export const SEGMENT_FILE = 'segment.safetensors';

/** 2: blocks normalise each channel over the window instead of the channels of each place. */
const FORMAT = 2;
const side = z.number().int().min(8);
const count = z.number().int().positive();
const metadataSchema = z.object({
  format: z.literal(FORMAT),
  labels: z
    .array(z.object({ name: z.string(), value: z.number().int(), from: z.array(z.number().int()) }))
    .min(2),
  decoder: z.object({
    labels: count,
    /** Heads from before ranks were shown do not say so. */
    intensities: z.union([z.literal(1), z.literal(2)]).default(1),
    channels: z.tuple([count, count, count]),
    voxelFeatures: count,
    /** Heads from before there were any do not say so. */
    voxelLayers: z.number().int().min(0).default(0),
    embedDim: count,
    tokenWidth: count,
  }),
  encoder: z.object({ size: z.string(), embedDim: count, samples: count }),
  side: z.tuple([side, side, side]),
  finestMm: z.number().positive(),
  patchMm: z.number().positive(),
  maxTokens: count,
  step: z.number().int(),
  /** Heads from before there was a choice work on an image's own voxels. */
  isotropic: z.boolean().default(false),
  /** Heads from before it was asked were taught in mirrors. */
  mirrors: z.boolean().default(true),
  /** Heads from before intensities were adapted to were not measured so. */
  adapts: z.boolean().default(false),
  /** Mean Dice of each label over images of held-out patients; null where none had it. */
  heldOut: z
    .object({
      images: z.number().int(),
      patients: z.number().int(),
      dice: z.record(z.string(), z.number().nullable()),
    })
    .nullable(),
});

export interface SegmentHead {
  readonly labels: LabelTable;
  readonly decoder: DecoderConfig;
  /** Voxels of a window along i, j, k (RAS order). */
  readonly side: readonly [number, number, number];
  /** Images with finer voxels are averaged to about this; all are brought to cubes of it where `isotropic`. */
  readonly finestMm: number;
  readonly isotropic: boolean;
  /** How the encoder cuts images. */
  readonly patchMm: number;
  readonly maxTokens: number;
  readonly step: number;
  /** Whether it was taught in mirrors as well; where a side of the body matters, it was not. */
  readonly mirrors: boolean;
  /** Whether labels are told once more by the intensities of each image: where they are tissues that differ in these. */
  readonly adapts: boolean;
  readonly heldOut: z.infer<typeof metadataSchema>['heldOut'];
  /** The weights, named `segment.…`. */
  readonly tensors: ReadonlyMap<string, NamedTensor>;
  /** The encoder. */
  readonly model: ModelFile;
}

/** Writes a head into `folder`, which is made where it is missing. */
export async function writeSegmentHead(folder: string, head: SegmentHead): Promise<void> {
  const { labels, decoder, side: window, finestMm, isotropic, patchMm, maxTokens } = head;
  const { step, heldOut, mirrors, adapts } = head;
  const { tensors, model } = head;
  const from = (number: number): number[] =>
    [...labels.numberOf].flatMap(([value, of]) => (of === number ? [value] : []));
  const metadata: z.infer<typeof metadataSchema> = {
    format: FORMAT,
    labels: labels.names.map((name, n) => ({ name, value: labels.values[n]!, from: from(n) })),
    decoder: { ...decoder, channels: [...decoder.channels] },
    encoder: encoderOf(model),
    side: [...window],
    finestMm,
    isotropic,
    patchMm,
    maxTokens,
    step,
    mirrors,
    adapts,
    heldOut,
  };
  await mkdir(folder, { recursive: true });
  await writeModel(join(folder, MODEL_FILE), model);
  await writeSafetensors(join(folder, SEGMENT_FILE), [...tensors.values()], {
    'precess-segment': JSON.stringify(metadata),
  });
}

const encoderOf = ({ config: { size, embedDim, samples } }: ModelFile) => ({ size, embedDim, samples });

/**
 * Opens a head; `encoder` takes the place of the one in its folder.
 * @throws TaskError when there is none, or when it was fitted on an encoder of another size.
 */
export async function readSegmentHead(folder: string, encoder?: string): Promise<SegmentHead> {
  const path = join(folder, SEGMENT_FILE);
  const { tensors, metadata } = await readSafetensors(path).catch((error: unknown) => {
    throw new TaskError(
      `head: ${folder} must be a folder made by "precess fit segment", but its ${SEGMENT_FILE} cannot be read ` +
        `(${error instanceof Error ? error.message : String(error)}); fit it again`,
    );
  });
  let value: unknown;
  try {
    value = JSON.parse(metadata['precess-segment'] ?? '');
  } catch {
    // Reported below as another version.
  }
  const parsed = metadataSchema.safeParse(value);
  if (!parsed.success)
    throw new TaskError(
      `head: ${path} must be a segmentation head of format ${FORMAT} (${parsed.error.issues[0]?.path.join('.') ?? ''}: ` +
        `${parsed.error.issues[0]?.message ?? ''}); fit it again with this version`,
    );
  const { labels, encoder: fitted, ...rest } = parsed.data;
  const model = await openModel(encoder ?? join(folder, MODEL_FILE));
  checkEncoder(folder, fitted, model);
  return {
    ...rest,
    labels: {
      names: labels.map(({ name }) => name),
      values: labels.map((one) => one.value),
      numberOf: new Map(labels.flatMap(({ from }, n) => from.map((one) => [one, n] as const))),
    },
    tensors,
    model,
  };
}

function checkEncoder(folder: string, fitted: ReturnType<typeof encoderOf>, model: ModelFile): void {
  const found = encoderOf(model);
  if (found.embedDim === fitted.embedDim && found.samples === fitted.samples) return;
  const say = ({ size, embedDim, samples }: typeof found): string =>
    `${size} (width ${embedDim}, ${samples}³ samples a token)`;
  throw new TaskError(
    `head: ${folder} was fitted on an encoder of size ${say(fitted)}, got one of ${say(found)}; ` +
      'use the encoder that it was fitted on, or fit a head for this one',
  );
}
