/** A model as one file: named weights, and in the header all that is needed to use them. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { TokenizerJson } from '../text/tokenizer.js';
import { externalTextSchema, type ExternalTextRecord } from './external-text.js';
import { type Provenance, provenanceSchema } from './provenance.js';
import { readSafetensors, writeSafetensors, type NamedTensor } from './safetensors.js';
import { ModelError, type ModelConfig } from './sizes.js';

export interface ModelFile {
  readonly config: ModelConfig;
  /** Present when the model has a text encoder of its own. */
  readonly tokenizer: TokenizerJson | null;
  /** Training steps behind the weights. */
  readonly step: number;
  /** What the weights were learnt from. */
  readonly provenance: Provenance;
  readonly tensors: Map<string, NamedTensor>;
  /** Present when the model was aligned with a text encoder from elsewhere, which is not in the file. */
  readonly textEncoder?: ExternalTextRecord;
  /** The file that it was read from; absent for a model made in memory. */
  readonly path?: string;
}

/** Whether images and texts have a space in common. */
export const hasMetText = ({ tokenizer, textEncoder }: ModelFile): boolean =>
  tokenizer !== null || textEncoder !== undefined;

const configSchema = z.object({
  size: z.string(),
  embedDim: z.number(),
  layers: z.number(),
  heads: z.number(),
  samples: z.number(),
  jointDim: z.number(),
  textDim: z.number(),
  textLayers: z.number(),
  textHeads: z.number(),
  textLength: z.number(),
});
/** What the headers of format 1 said of rights; which series the weights had seen was not kept. */
const firstSchema = z.object({
  format: z.literal(1),
  config: configSchema,
  tokenizer: z.custom<TokenizerJson>().nullable(),
  step: z.number(),
  rights: z.array(z.object({ licence: z.string(), use: z.array(z.string()) })),
});
const headerSchema = z.object({
  format: z.literal(2),
  config: configSchema,
  tokenizer: z.custom<TokenizerJson>().nullable(),
  step: z.number(),
  provenance: provenanceSchema,
  textEncoder: externalTextSchema.optional(),
});

/** The format that is written. 1 had no provenance. */
const FORMAT = 2;

/**
 * Of weights of which only the licences are known: nobody can say any more which series they saw, so no use is
 * permitted that has to be answered for.
 */
function unknownProvenance(rights: readonly { readonly licence: string }[]): Provenance {
  const licences = rights.length > 0 ? [...new Set(rights.map(({ licence }) => licence))] : ['unknown'];
  return {
    runs: [{ id: 'unknown', kind: 'unknown' }],
    sources: licences.map((licence) => ({
      source: 'unknown',
      licence,
      use: [],
      reference: null,
      expires: null,
      attribution: null,
      series: 0,
    })),
    series: 0,
    seen: '',
  };
}

export const MODEL_FILE = 'model.safetensors';

/** Writes a model file; it appears only when complete. */
export async function writeModel(path: string, model: ModelFile): Promise<void> {
  const { config, tokenizer, step, provenance, textEncoder } = model;
  const header = JSON.stringify({ format: FORMAT, config, tokenizer, step, provenance, textEncoder });
  await writeSafetensors(path, [...model.tensors.values()], { precess: header });
}

/**
 * Opens a model given as a safetensors file, a checkpoint folder or a run folder (its newest checkpoint).
 * @throws ModelError saying what was looked for when there is none, or when the file is not a Precess model.
 */
export async function openModel(path: string): Promise<ModelFile> {
  const file = await findModelFile(path);
  const { tensors, metadata } = await readSafetensors(file);
  if (metadata.precess === undefined)
    throw new ModelError(
      `model: ${file} holds weights but was not written by precess; give a precess run or model`,
    );
  const content = parsed(metadata.precess);
  const first = firstSchema.safeParse(content);
  if (first.success) {
    const { config, tokenizer, step, rights } = first.data;
    return { config, tokenizer, step, provenance: unknownProvenance(rights), tensors, path: file };
  }
  const header = headerSchema.safeParse(content);
  if (!header.success) {
    const format = z.object({ format: z.number() }).safeParse(content).data?.format;
    if (format !== undefined && format > FORMAT)
      throw new ModelError(
        `model: ${file} must be of format ${FORMAT} or earlier, got ${format}, which a later version wrote; update precess`,
      );
    // Either format's own complaint tells more than that it is not the other.
    const issue = (format === 1 ? first.error : header.error).issues[0];
    throw new ModelError(
      `model: ${file} has a header this version cannot read (${issue?.path.join('.') ?? '?'}: ` +
        `${issue?.message ?? '?'}); use the precess version that wrote it`,
    );
  }
  const { config, tokenizer, step, provenance, textEncoder } = header.data;
  return { config, tokenizer, step, provenance, tensors, path: file, ...(textEncoder && { textEncoder }) };
}

/** The value of a JSON text; undefined, which no schema takes, where it is none. */
function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

async function findModelFile(path: string): Promise<string> {
  const info = await stat(path).catch(() => null);
  if (!info) throw new ModelError(`model: ${path} does not exist; give a run folder or a model file`);
  if (info.isFile()) return path;
  const direct = join(path, MODEL_FILE);
  if (await exists(direct)) return direct;
  const newest = (await checkpointsOf(path)).at(-1);
  if (newest) return join(newest.path, MODEL_FILE);
  throw new ModelError(
    `model: ${path} holds no ${MODEL_FILE} and no finished checkpoint; train with "precess pretrain" or "precess align"`,
  );
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** The finished checkpoints of a run folder, oldest first. */
export async function checkpointsOf(run: string): Promise<{ step: number; path: string }[]> {
  const folder = join(run, 'checkpoints');
  const names = await readdir(folder).catch(() => []);
  return names
    .map((name) => ({ match: /^step-(\d+)$/.exec(name), path: join(folder, name) }))
    .flatMap(({ match, path }) => (match ? [{ step: Number(match[1]), path }] : []))
    .sort((a, b) => a.step - b.step);
}
