/** A fitted head as a folder: the head, and the encoder whose features it reads. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { MODEL_FILE, openModel, writeModel, type ModelFile } from '../../models/model-file.js';
import { readSafetensors, writeSafetensors, type NamedTensor } from '../../models/safetensors.js';
import { TaskError } from '../error.js';
import type { Head } from './head.js';
import type { Level } from './labels.js';

export const HEAD_FILE = 'head.safetensors';

export interface FittedHead {
  readonly head: Head;
  /** What a label was about when it was fitted. */
  readonly level: Level;
  /** How the encoder cut the images. */
  readonly patchMm: number;
  readonly maxTokens: number;
  readonly model: ModelFile;
}

const FORMAT = 1;
const metadataSchema = z.object({
  format: z.literal(FORMAT),
  level: z.enum(['series', 'study', 'patient']),
  patchMm: z.number(),
  maxTokens: z.number(),
  head: z.looseObject({
    kind: z.enum(['classes', 'ordinal', 'labels', 'number']),
    names: z.array(z.string()),
  }),
});

/** Writes the head and its encoder into `folder`, which is made where it is missing. */
export async function writeHead(folder: string, fitted: FittedHead): Promise<void> {
  const { head, level, patchMm, maxTokens, model } = fitted;
  const tensors: NamedTensor[] = [];
  const json = JSON.stringify({ format: FORMAT, level, patchMm, maxTokens, head }, (_, value: unknown) => {
    if (!(value instanceof Float64Array || value instanceof Float32Array)) return value;
    const name = `t${tensors.length}`;
    tensors.push({ name, shape: [value.length], data: Float32Array.from(value) });
    return { tensor: name, bits: value.BYTES_PER_ELEMENT * 8 };
  });
  await mkdir(folder, { recursive: true });
  await writeModel(join(folder, MODEL_FILE), model);
  // The head comes last: a folder with it is whole.
  await writeSafetensors(join(folder, HEAD_FILE), tensors, { 'precess-head': json });
}

/** @throws TaskError when `folder` holds no head, or one of another version; ModelError for its encoder. */
export async function readHead(folder: string): Promise<FittedHead> {
  const path = join(folder, HEAD_FILE);
  const { tensors, metadata } = await readSafetensors(path).catch((error: unknown) => {
    throw new TaskError(
      `head: ${folder} must be a folder made by "precess fit", but its ${HEAD_FILE} cannot be read ` +
        `(${error instanceof Error ? error.message : String(error)}); fit it again`,
    );
  });
  let value: unknown;
  try {
    value = JSON.parse(metadata['precess-head'] ?? '', (_, part: unknown) => {
      const { tensor, bits } = (part ?? {}) as { tensor?: unknown; bits?: unknown };
      if (typeof tensor !== 'string') return part;
      const { data } = tensors.get(tensor)!;
      return bits === 64 ? Float64Array.from(data) : data;
    });
  } catch {
    // Reported below as another version.
  }
  const parsed = metadataSchema.safeParse(value);
  if (!parsed.success)
    throw new TaskError(
      `head: ${path} must be a head of format ${FORMAT} (${parsed.error.issues[0]?.path.join('.') ?? ''}: ` +
        `${parsed.error.issues[0]?.message ?? ''}); fit it again with this version`,
    );
  const { level, patchMm, maxTokens } = parsed.data;
  return {
    head: parsed.data.head as unknown as Head,
    level,
    patchMm,
    maxTokens,
    model: await openModel(join(folder, MODEL_FILE)),
  };
}
