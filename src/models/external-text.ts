/** A text encoder from elsewhere, frozen: a folder in the layout of Hugging Face with an exported ONNX file. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, link, mkdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import type { TensorInfo } from '../graph/index.js';
import { openDevice, type Device, type Program } from '../runtime/index.js';
import { TextTokenizer, type TokenizerJson } from '../text/tokenizer.js';
import { ModelError } from './sizes.js';

/** What a model remembers of the text encoder that it was aligned with. */
export const externalTextSchema = z.object({
  /** Its name: `_name_or_path` of its config.json, or that of its folder. */
  name: z.string(),
  /** SHA-256 of its ONNX file (its external data too) and its tokenizer.json, hexadecimal. */
  sha256: z.string(),
  /** Length of its vectors. */
  dim: z.number().int(),
});
export type ExternalTextRecord = z.infer<typeof externalTextSchema>;

/** The folder in which a run or an index keeps the text encoder of its model. */
export const TEXT_ENCODER_FOLDER = 'text-encoder';

/** Both layouts that exporters use. */
const ONNX_FILES = ['model.onnx', 'onnx/model.onnx'] as const;
const OPTIONAL_FILES = ['config.json', 'sentence_bert_config.json', '1_Pooling/config.json'] as const;
/** Longest text in tokens where the folder does not say. */
const LONGEST = 512;
/** Distinct texts whose vectors are kept. */
const KEPT = 65_536;

/** How the vector of a text comes out of the model. */
interface Pooling {
  readonly output: string;
  readonly how: 'as is' | 'mean' | 'first';
}

const configSchema = z.object({
  _name_or_path: z.string().optional(),
  max_position_embeddings: z.number().int().positive().optional(),
});
const lengthSchema = z.object({ max_seq_length: z.number().int().positive().nullish() });
const poolingSchema = z.object({ pooling_mode_cls_token: z.boolean().optional() });

export class ExternalText {
  private readonly known = new Map<string, Promise<Float32Array>>();

  private constructor(
    readonly dir: string,
    readonly record: ExternalTextRecord,
    private readonly tokenizer: TextTokenizer,
    private readonly length: number,
    private readonly pooling: Pooling,
    private readonly device: Device,
    private readonly program: Program,
  ) {}

  /**
   * Opens tokenizer.json and model.onnx (or onnx/model.onnx) of a folder. The vector of a text is the output
   * "sentence_embedding" or "text_embeds" where the model has one; else the first token where 1_Pooling/config.json
   * asks for it, and the mean over the tokens otherwise (Reimers and Gurevych 2019, section 3).
   * @throws ModelError saying which file is missing or cannot be used.
   */
  static async open(dir: string, { threads }: { threads?: number } = {}): Promise<ExternalText> {
    const file = join(dir, await onnxFile(dir));
    const tokenizerFile = join(dir, 'tokenizer.json');
    const json = await readFile(tokenizerFile, 'utf8').catch(() => {
      throw new ModelError(
        `text encoder: ${dir} must hold tokenizer.json, got none; export it from a Hugging Face fast tokenizer`,
      );
    });
    const tokenizer = new TextTokenizer(parse(tokenizerFile, json) as TokenizerJson);
    const config = await optional(join(dir, 'config.json'), configSchema);
    const lengths = await optional(join(dir, 'sentence_bert_config.json'), lengthSchema);
    const pooled = await optional(join(dir, '1_Pooling/config.json'), poolingSchema);
    const length = Math.min(LONGEST, lengths?.max_seq_length ?? config?.max_position_embeddings ?? LONGEST);

    const device = await openDevice({ kind: 'cpu', ...(threads !== undefined && { threads }) });
    try {
      const program = await device.load(file, { name: 'text encoder' });
      checkInputs(dir, program.inputs);
      const pooling = poolingOf(dir, program.outputs, pooled?.pooling_mode_cls_token === true);
      const record = {
        name: config?._name_or_path ?? basename(resolve(dir)),
        sha256: await hashOf([file, `${file}_data`, tokenizerFile]),
        dim: 0,
      };
      const first = new ExternalText(dir, record, tokenizer, length, pooling, device, program);
      // Exported shapes often leave the width open; a run tells.
      const [vector] = await first.embed(['mri']);
      const whole = { ...record, dim: vector!.length };
      return new ExternalText(dir, whole, tokenizer, length, pooling, device, program);
    } catch (error) {
      await device.close();
      throw error;
    }
  }

  /**
   * One vector a text, of mean square 1, whatever other texts are asked for: each runs alone, so that neither padding
   * nor the activation ranges of a quantised model depend on its neighbours. Distinct texts are computed once.
   */
  embed(texts: readonly string[]): Promise<Float32Array[]> {
    return Promise.all(
      texts.map((text) => {
        let vector = this.known.get(text);
        if (vector === undefined) {
          // The first in is the first out: texts of a corpus come again each epoch, all alike.
          if (this.known.size >= KEPT) this.known.delete(this.known.keys().next().value!);
          vector = this.compute(text);
          this.known.set(text, vector);
        }
        return vector;
      }),
    );
  }

  async close(): Promise<void> {
    await this.device.close();
  }

  private async compute(text: string): Promise<Float32Array> {
    // A model exported for one length takes no other; -1 is any.
    const fixed = this.program.inputs[0]!.shape[1]!;
    const longest = fixed > 0 ? Math.min(fixed, this.length) : this.length;
    let ids = this.tokenizer.encode(text);
    if (ids.length > longest) ids = [...ids.slice(0, longest - 1), ids.at(-1)!];
    // A tokenizer without special tokens makes nothing of an empty text; no model takes that.
    if (ids.length === 0) ids = [0];
    const length = fixed > 0 ? fixed : ids.length;
    const feeds = Object.fromEntries(
      this.program.inputs.map(({ name, dtype }) => {
        const data = dtype === 'int64' ? new BigInt64Array(length) : new Int32Array(length);
        ids.forEach((id, n) => {
          const value = name === 'input_ids' ? id : name === 'attention_mask' ? 1 : 0;
          data[n] = data instanceof BigInt64Array ? BigInt(value) : value;
        });
        return [name, { data, shape: [1, length] }];
      }),
    );
    const { output, how } = this.pooling;
    const data = (await this.program.run(feeds, { fetch: [output] }))[output] as Float32Array;
    return unitVariance(how === 'as is' ? data : pool(data, length, how === 'first' ? 1 : ids.length));
  }
}

/** Keeps what {@link ExternalText.open} reads of `from` in the folder `to`: hard links where they can be, else copies. */
export async function keepTextEncoder(from: string, to: string): Promise<void> {
  if (resolve(from) === resolve(to)) return;
  const onnx = await onnxFile(from);
  for (const name of ['tokenizer.json', onnx, `${onnx}_data`, ...OPTIONAL_FILES]) {
    const source = join(from, name);
    if (!(await isFile(source))) continue;
    const target = join(to, name);
    if (await isFile(target)) continue;
    await mkdir(dirname(target), { recursive: true });
    await link(source, target).catch(() => copyFile(source, target));
  }
}

/**
 * Opens the text encoder that a model was aligned with: the folder given, else a copy beside the model file or in its
 * run folder. @throws ModelError when there is none, or it is another one.
 */
export async function openTextEncoder(
  record: ExternalTextRecord,
  modelFile: string | undefined,
  given: string | undefined,
  options: { threads?: number } = {},
): Promise<ExternalText> {
  const beside = modelFile === undefined ? [] : [dirname(modelFile), join(dirname(modelFile), '../..')];
  const places = beside.map((folder) => join(folder, TEXT_ENCODER_FOLDER));
  let dir = given;
  for (const place of places)
    if (dir === undefined && (await isFile(join(place, 'tokenizer.json')))) dir = place;
  if (dir === undefined)
    throw new ModelError(
      `text encoder: the model was aligned with "${record.name}", which is not in its file; ` +
        `give its folder with --text-encoder, or put a copy beside the model as ${TEXT_ENCODER_FOLDER}/`,
    );
  const found = await ExternalText.open(dir, options);
  if (found.record.sha256 === record.sha256) return found;
  await found.close();
  throw new ModelError(
    `text encoder: the model was aligned with "${record.name}" (SHA-256 ${record.sha256.slice(0, 16)}…), ` +
      `got ${dir} ("${found.record.name}", ${found.record.sha256.slice(0, 16)}…); give the folder that it was aligned with`,
  );
}

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (info) => info.isFile(),
    () => false,
  );

/** The name of the ONNX file in a folder. */
async function onnxFile(dir: string): Promise<string> {
  for (const name of ONNX_FILES) if (await isFile(join(dir, name))) return name;
  throw new ModelError(
    `text encoder: ${dir} must hold ${ONNX_FILES.join(' or ')}, got neither; export the model to ONNX, ` +
      'e.g. with "optimum-cli export onnx"',
  );
}

function parse(path: string, json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new ModelError(
      `text encoder: ${path} must be JSON, got "${error instanceof Error ? error.message : String(error)}"; copy it again`,
      { cause: error },
    );
  }
}

/** A JSON file that may be missing; null where it is. */
async function optional<T>(path: string, schema: z.ZodType<T>): Promise<T | null> {
  if (!(await isFile(path))) return null;
  const found = schema.safeParse(parse(path, await readFile(path, 'utf8')));
  if (found.success) return found.data;
  const issue = found.error.issues[0];
  throw new ModelError(
    `text encoder: ${path}: ${issue?.path.join('.') ?? ''} ${issue?.message ?? 'is wrong'}; copy the folder again`,
  );
}

async function hashOf(files: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const file of files) {
    if (!(await isFile(file))) continue;
    for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  }
  return hash.digest('hex');
}

const INPUTS = ['input_ids', 'attention_mask', 'token_type_ids'];

function checkInputs(dir: string, inputs: readonly TensorInfo[]): void {
  const strange = inputs.find(
    ({ name, dtype, shape }) =>
      !INPUTS.includes(name) || (dtype !== 'int64' && dtype !== 'int32') || shape.length !== 2,
  );
  if (strange || !inputs.some(({ name }) => name === 'input_ids'))
    throw new ModelError(
      `text encoder: the ONNX file in ${dir} must take ${INPUTS.join(', ')} as integers [texts, tokens], got ` +
        `${strange ? `"${strange.name}" ${strange.dtype} [${strange.shape.join(', ')}]` : 'no input_ids'}; ` +
        'export the encoder alone, for feature extraction',
    );
}

function poolingOf(dir: string, outputs: readonly TensorInfo[], first: boolean): Pooling {
  const floats = outputs.filter(({ dtype }) => dtype === 'float32');
  const rank = (n: number): TensorInfo[] => floats.filter(({ shape }) => shape.length === n);
  const named = (all: readonly TensorInfo[], ...names: string[]) =>
    names.map((name) => all.find((one) => one.name === name)).find((one) => one !== undefined);
  const ready = named(rank(2), 'sentence_embedding', 'text_embeds');
  if (ready) return { output: ready.name, how: 'as is' };
  const tokens = named(rank(3), 'last_hidden_state', 'token_embeddings') ?? rank(3)[0];
  if (tokens) return { output: tokens.name, how: first ? 'first' : 'mean' };
  const pooled = named(rank(2), 'pooler_output') ?? rank(2)[0];
  if (pooled) return { output: pooled.name, how: 'as is' };
  throw new ModelError(
    `text encoder: the ONNX file in ${dir} must give float32 vectors of texts or tokens, got ` +
      `${outputs.map(({ name, dtype, shape }) => `"${name}" ${dtype} [${shape.join(', ')}]`).join(', ')}; ` +
      'export it for feature extraction in float32',
  );
}

/** [length, dim] → [dim], the mean of the first `tokens`. */
function pool(data: Float32Array, length: number, tokens: number): Float32Array {
  const dim = data.length / length;
  const mean = new Float32Array(dim);
  for (let t = 0; t < tokens; t++) for (let d = 0; d < dim; d++) mean[d]! += data[t * dim + d]! / tokens;
  return mean;
}

/** Encoders differ in the length of their vectors; a linear layer learns best from elements of mean square 1. */
function unitVariance(vector: Float32Array): Float32Array {
  const square = vector.reduce((sum, x) => sum + x * x, 0) / vector.length;
  return vector.map((x) => x / Math.sqrt(square + 1e-12));
}
