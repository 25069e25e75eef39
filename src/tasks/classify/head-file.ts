/** A fitted head as a folder: the head, and the encoder whose features it reads. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { MODEL_FILE, openModel, writeModel, type ModelFile } from '../../models/model-file.js';
import { readSafetensors, writeSafetensors, type NamedTensor } from '../../models/safetensors.js';
import { TaskError } from '../error.js';
import { poolTokens, type Pool } from './attentive-pool.js';
import type { SeriesFeatures } from './features.js';
import { withAdapter, type Adapter } from './finetune.js';
import type { Head } from './head.js';
import type { Level } from './labels.js';
import { viewWidths } from './views.js';

export const HEAD_FILE = 'head.safetensors';

export interface FittedHead {
  readonly head: Head;
  /** What a label was about when it was fitted. */
  readonly level: Level;
  /** How the encoder cut the images. */
  readonly patchMm: number;
  readonly maxTokens: number;
  /** The encoder that reads the images; for an adapter that is to be written, the one that it adapts. */
  readonly model: ModelFile;
  /** What pools the tokens for the head; without it the head reads the summary, or all views. */
  readonly pool?: Pool;
  /** The head reads all views of a series (see `allViews`). */
  readonly views?: boolean;
  /** What LoRA has learnt; merged into the model where a head is read. */
  readonly adapter?: Adapter;
}

/**
 * What a fitted head reads of an image's features.
 * @throws TaskError when it reads all views and the features were made without them.
 */
export function vectorOf(
  { pool, views }: Pick<FittedHead, 'pool' | 'views'>,
  features: SeriesFeatures,
): Float32Array {
  if (pool) return poolTokens(pool, features.tokens);
  if (!views) return features.summary;
  if (features.all) return features.all;
  throw new TaskError(
    'head: it reads all views of a series, but the features are without them; ask for them (featuresOf: views)',
  );
}

/** 1 knows neither pool nor adapter, 2 no views; a head without them is still written so. */
const FORMAT = 3;
const metadataSchema = z.object({
  format: z.literal([1, 2, FORMAT]),
  level: z.enum(['series', 'study', 'patient']),
  patchMm: z.number(),
  maxTokens: z.number(),
  head: z.looseObject({
    kind: z.enum(['classes', 'ordinal', 'labels', 'number']),
    names: z.array(z.string()),
  }),
  pool: z.custom<Pool>().optional(),
  adapter: z.custom<Adapter>().optional(),
  views: z.boolean().optional(),
});

/** Writes the head and its encoder into `folder`, which is made where it is missing. */
export async function writeHead(folder: string, fitted: FittedHead): Promise<void> {
  const { head, level, patchMm, maxTokens, model, pool, adapter, views } = fitted;
  const format = views ? FORMAT : pool || adapter ? 2 : 1;
  const tensors: NamedTensor[] = [];
  const json = JSON.stringify(
    { format, level, patchMm, maxTokens, head, pool, adapter, views },
    (_, value: unknown) => {
      if (!(value instanceof Float64Array || value instanceof Float32Array)) return value;
      const name = `t${tensors.length}`;
      tensors.push({ name, shape: [value.length], data: Float32Array.from(value) });
      return { tensor: name, bits: value.BYTES_PER_ELEMENT * 8 };
    },
  );
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
      `head: ${path} must be a head of format 1 to ${FORMAT} (${parsed.error.issues[0]?.path.join('.') ?? ''}: ` +
        `${parsed.error.issues[0]?.message ?? ''}); fit it again with this version`,
    );
  const { level, patchMm, maxTokens, pool, adapter, views } = parsed.data;
  const head = parsed.data.head as unknown as Head;
  const base = await openModel(join(folder, MODEL_FILE));
  checkWidth(path, head, { pool, views }, base);
  return {
    head,
    level,
    patchMm,
    maxTokens,
    model: adapter ? withAdapter(base, adapter) : base,
    ...(pool && { pool }),
    ...(views && { views }),
  };
}

/** @throws TaskError when the encoder beside a head makes features of another width than it reads. */
function checkWidth(
  path: string,
  head: Head,
  { pool, views }: { pool: Pool | undefined; views: boolean | undefined },
  { config }: ModelFile,
): void {
  const [summary, ...others] = viewWidths(config.embedDim) as [number, ...number[]];
  const width = pool ? config.embedDim : views ? others.reduce((sum, w) => sum + w, summary) : summary;
  const reads = pool ? pool.tensors['norm.scale']!.length : widthOf(head);
  if (reads !== null && reads !== width)
    throw new TaskError(
      `head: ${path} reads features ${reads} wide, but the encoder beside it (${config.size}) makes ${width}; put back the ` +
        `${MODEL_FILE} that it was fitted with, or fit it again`,
    );
}

function widthOf(head: Head): number | null {
  if (head.kind === 'number') return head.model.mean.length;
  const first =
    head.kind === 'classes' ? head.classifier : head.kind === 'labels' ? head.each[0] : head.steps[0];
  if (first === undefined) return null;
  return first.method === 'logistic' ? first.model.mean.length : (first.references[0]?.vector.length ?? null);
}
