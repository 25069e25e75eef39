/** A trained model ready to use: volumes and texts in, unit vectors out. */
import { Graph, type TypedArray, type Value } from '../graph/index.js';
import { Params } from '../nn/index.js';
import { openDevice, type Device, type DeviceKind, type Program } from '../runtime/index.js';
import { TextTokenizer } from '../text/tokenizer.js';
import { tokenize, Prepared, type Scanned, type TokenizeOptions, type TokenSet } from '../volume/tokens.js';
import { VolumeError, type Vec3, type Volume } from '../volume/volume.js';
import { imageBatch } from './batch.js';
import { openTextEncoder, type ExternalText } from './external-text.js';
import { imageInputs, textInputs } from './inputs.js';
import { hasMetText, openModel, type ModelFile } from './model-file.js';
import type { NamedTensor } from './safetensors.js';
import { ModelError, type ModelConfig } from './sizes.js';
import { textEncoder, textVector } from './text-encoder.js';
import { imageSummary, imageVector, plainImageVector, vit3d } from './vit3d.js';
import { checkMaxTokens, MOST_TOKENS, VectorPool, windowsOf, type EmbedOptions } from './windows.js';

export type { EmbedOptions } from './windows.js';

/** What the frozen encoder says of one token set, before any projection. */
export interface Features {
  /** [2 embedDim] class token, then the mean of the tokens: what a head on the whole image reads. */
  readonly summary: Float32Array;
  /** [count, embedDim] one row a token, in the order of the set. */
  readonly tokens: Float32Array;
}

/** A program is compiled for these numbers of tokens; a volume takes the first that holds it. */
const LENGTHS = [32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, MOST_TOKENS] as const;
/** Texts of one run, where there are several. */
const TEXT_ROWS = 16;
/** A program for texts is compiled for the first of these numbers of words that holds all of a call, or for the most. */
const TEXT_LENGTHS = [16, 32];

/** Collects values by name into the flat layout of `params`. @throws ModelError when a tensor is missing or misshapen. */
export function flatten(params: Params, tensors: ReadonlyMap<string, NamedTensor>): Float32Array {
  const flat = new Float32Array(params.size);
  for (const { name, offset, shape } of params.slices) {
    const tensor = tensors.get(name);
    if (!tensor)
      throw new ModelError(`model: tensor "${name}" is missing from the weights; train or copy it again`);
    if (tensor.shape.join() !== shape.join())
      throw new ModelError(
        `model: tensor "${name}" is [${tensor.shape.join(', ')}], this model needs [${shape.join(', ')}]; ` +
          'use the size it was trained with',
      );
    flat.set(tensor.data, offset);
  }
  return flat;
}

/** A cube of an image to look at instead of the whole. */
export interface Around {
  /** RAS+ millimetres; a token is centred on it. */
  readonly centreMm: Vec3;
  /** Whole tokens within this side are taken. */
  readonly sideMm: number;
}

/**
 * Cuts a volume in memory into one token set, with larger cubes where it would need more than `maxTokens`; or what is
 * `around` a point of it, with the intensities still scaled as in the whole.
 * @throws VolumeError when there is no anatomy. @throws ModelError for a number of tokens that no program has.
 */
export function tokensFor(
  prepared: Prepared,
  samples: number,
  options: EmbedOptions & { readonly around?: Around } = {},
): TokenSet {
  const { patchMm = 16, maxTokens = 2048, around } = options;
  checkMaxTokens(maxTokens);
  for (let side = patchMm; ; side *= 2) {
    const part = around && cubeOf(prepared, around, side);
    const set = tokenize(prepared, { patchMm: side, samples, limit: maxTokens + 1, ...part });
    if (set.count === 0)
      throw new VolumeError(
        'embed: the volume holds no anatomy (all air, or too little was measured); check the image',
      );
    if (set.count <= maxTokens) return set;
  }
}

/** The cells whose cubes lie within the asked one, on a grid that has one of them at its centre. */
function cubeOf(
  { stats }: Prepared,
  { centreMm, sideMm }: Around,
  patchMm: number,
): Pick<TokenizeOptions, 'regionMm' | 'shiftMm'> {
  // A little more than half, so that rounding takes no cell away.
  const reach = Math.max(0, sideMm - patchMm) / 2 + 1e-3;
  const shift = (d: 0 | 1 | 2): number => centreMm[d] - stats.centreMm[d];
  return {
    regionMm: [centreMm.map((mm) => mm - reach), centreMm.map((mm) => mm + reach)],
    shiftMm: [shift(0), shift(1), shift(2)],
  };
}

export interface OpenOptions {
  readonly device?: DeviceKind;
  readonly threads?: number;
  /** Folder of the text encoder that the model was aligned with, where it is not beside the model. */
  readonly textEncoder?: string;
}

export class Encoder {
  readonly config: ModelConfig;
  /** Of the model's own text encoder; null where it has none. */
  readonly tokenizer: TextTokenizer | null;
  private external: Promise<ExternalText> | undefined;
  private readonly programs = new Map<string, Promise<Program>>();

  private constructor(
    readonly model: ModelFile,
    private readonly device: Device,
    private readonly options: OpenOptions,
  ) {
    this.config = model.config;
    this.tokenizer = model.tokenizer ? new TextTokenizer(model.tokenizer) : null;
  }

  /** Opens a run folder, checkpoint or model file. @throws ModelError when it cannot be used. */
  static async open(model: string | ModelFile, options: OpenOptions = {}): Promise<Encoder> {
    const { device: kind = 'cpu', threads } = options;
    const file = typeof model === 'string' ? await openModel(model) : model;
    const device = await openDevice({ kind, ...(threads !== undefined && { threads }) });
    return new Encoder(file, device, options);
  }

  /** Whether it can embed texts: the model has been aligned with some. */
  get hasMetText(): boolean {
    return hasMetText(this.model);
  }

  /** Length of the image vectors: the joint space's, or twice the width for a model that has met no text. */
  get dim(): number {
    return this.hasMetText ? this.config.jointDim : 2 * this.config.embedDim;
  }

  /** The unit vector of one volume; of its windows, pooled, where there are several. @throws VolumeError when it holds nothing to see. */
  async embed(volume: Volume | Scanned, options: EmbedOptions = {}): Promise<Float32Array> {
    const scanned = 'data' in volume ? new Prepared(volume) : volume;
    const pool = new VectorPool();
    let n = 0;
    for await (const set of windowsOf(scanned, this.config.samples, options)) {
      const [vector] = await this.embedTokens([set]);
      pool.add(n++, vector!, set);
    }
    return pool.vector;
  }

  /** Unit vectors of token sets that share one run; the program is as long as the largest of them. */
  async embedTokens(sets: readonly TokenSet[]): Promise<Float32Array[]> {
    const length = programLength(sets);
    const program = await this.imageProgram(sets.length, length);
    const { vector } = await program.run(this.feeds(sets, length));
    return rows(vector as Float32Array, this.dim);
  }

  /** Features of token sets that share one run, for heads on the frozen encoder; with or without text alignment. */
  async features(sets: readonly TokenSet[]): Promise<Features[]> {
    const { embedDim, samples } = this.config;
    const length = programLength(sets);
    const program = await this.program(`features ${sets.length}x${length}`, () =>
      this.bake((graph, scope) => {
        const features = vit3d(
          scope.child('image'),
          this.config,
          imageInputs(graph, 'image', sets.length, length, samples),
        );
        return { summary: imageSummary(features), tokens: features.tokens };
      }),
    );
    const { summary, tokens } = await program.run(this.feeds(sets, length));
    const summaries = rows(summary as Float32Array, 2 * embedDim);
    return sets.map(({ count }, n) => {
      const start = n * length * embedDim;
      return {
        summary: summaries[n]!,
        tokens: (tokens as Float32Array).slice(start, start + count * embedDim),
      };
    });
  }

  /**
   * Unit vectors of texts. @throws ModelError when the model has met no text, or when its text encoder is neither
   * beside it nor given, or is another one.
   */
  async embedTexts(texts: readonly string[]): Promise<Float32Array[]> {
    const { tokenizer, config } = this;
    if (this.model.textEncoder) return this.embedExternal(texts);
    if (!tokenizer)
      throw new ModelError('model: it has not been aligned with text; run "precess align" on it first');
    const longest = Math.max(...texts.map((text) => tokenizer.encode(text).length));
    const length = Math.min(config.textLength, TEXT_LENGTHS.find((n) => n >= longest) ?? Infinity);
    const rowsOfRun = texts.length === 1 ? 1 : TEXT_ROWS;
    const program = await this.textProgram(tokenizer.vocabSize, rowsOfRun, length);
    const out: Float32Array[] = [];
    for (let at = 0; at < texts.length; at += rowsOfRun) {
      const some = texts.slice(at, at + rowsOfRun);
      const padded = [...some, ...Array.from({ length: rowsOfRun - some.length }, () => '')];
      const { ids, mask } = tokenizer.encodeBatch(padded, length);
      const { vector } = await program.run({ 'text.ids': ids, 'text.mask': mask });
      out.push(...rows(vector as Float32Array, config.jointDim).slice(0, some.length));
    }
    return out;
  }

  async close(): Promise<void> {
    await this.device.close();
    // One that could not be opened has told so to whoever asked for it.
    await this.external?.then(
      (text) => text.close(),
      () => undefined,
    );
  }

  /** Where the text encoder from elsewhere was found; null for a model that has none. */
  async textEncoderDir(): Promise<string | null> {
    return this.model.textEncoder ? (await this.openExternal()).dir : null;
  }

  private openExternal(): Promise<ExternalText> {
    const { textEncoder: given, threads } = this.options;
    const { textEncoder, path } = this.model;
    this.external ??= openTextEncoder(textEncoder!, path, given, threads === undefined ? {} : { threads });
    return this.external;
  }

  /** The text encoder from elsewhere, then the model's own projection. */
  private async embedExternal(texts: readonly string[]): Promise<Float32Array[]> {
    const { dim } = this.model.textEncoder!;
    const features = await (await this.openExternal()).embed(texts);
    const program = await this.program('text', () =>
      this.bake((graph, scope) => ({
        vector: textVector(
          scope.child('align'),
          this.config,
          graph.input('text.features', 'float32', [TEXT_ROWS, dim]),
        ),
      })),
    );
    const out: Float32Array[] = [];
    for (let at = 0; at < features.length; at += TEXT_ROWS) {
      const some = features.slice(at, at + TEXT_ROWS);
      const feed = new Float32Array(TEXT_ROWS * dim);
      some.forEach((one, row) => feed.set(one, row * dim));
      const { vector } = await program.run({ 'text.features': feed });
      out.push(...rows(vector as Float32Array, this.config.jointDim).slice(0, some.length));
    }
    return out;
  }

  private feeds(sets: readonly TokenSet[], length: number): Record<string, TypedArray> {
    const batch = Object.entries(imageBatch(sets, length, this.config.samples));
    return Object.fromEntries(batch.map(([name, data]) => [`image.${name}`, data as Float32Array]));
  }

  private imageProgram(count: number, length: number): Promise<Program> {
    return this.program(`image ${count}x${length}`, () => {
      const { config } = this;
      const build = (graph: Graph, scope: Parameters<typeof vit3d>[0]) => {
        const features = vit3d(
          scope.child('image'),
          config,
          imageInputs(graph, 'image', count, length, config.samples),
        );
        return {
          vector: this.hasMetText
            ? imageVector(scope.child('align'), config, imageSummary(features))
            : plainImageVector(features),
        };
      };
      return this.bake(build);
    });
  }

  private textProgram(vocabSize: number, count: number, length: number): Promise<Program> {
    return this.program(`text ${count}x${length}`, () => {
      const { config } = this;
      return this.bake((graph, scope) => {
        const features = textEncoder(
          scope.child('text'),
          config,
          vocabSize,
          textInputs(graph, count, length),
        );
        return { vector: textVector(scope.child('align'), config, features) };
      });
    });
  }

  /** A graph whose weights are constants, so that the runtime can lay them out for its kernels once. */
  private bake(
    build: (graph: Graph, scope: Parameters<typeof vit3d>[0]) => Readonly<Record<string, Value>>,
  ): Graph {
    const params = Params.collect((graph, scope) => void build(graph, scope));
    const graph = new Graph('encoder');
    const outputs = build(graph, params.bindConstants(graph, flatten(params, this.model.tensors)));
    for (const [name, value] of Object.entries(outputs)) graph.output(name, value);
    return graph;
  }

  private program(key: string, make: () => Graph): Promise<Program> {
    let program = this.programs.get(key);
    if (!program) {
      program = this.device.load(make());
      this.programs.set(key, program);
    }
    return program;
  }
}

/** @throws ModelError when a set has more tokens than any program. */
function programLength(sets: readonly TokenSet[]): number {
  const longest = Math.max(...sets.map((set) => set.count));
  const length = LENGTHS.find((n) => n >= longest);
  if (length === undefined)
    throw new ModelError(`embed: ${longest} tokens are more than ${MOST_TOKENS}; use a larger patchMm`);
  return length;
}

function rows(flat: Float32Array, width: number): Float32Array[] {
  return Array.from({ length: flat.length / width }, (_, n) => flat.slice(n * width, (n + 1) * width));
}
