/** Fine-tuning of the image encoder for a target: by LoRA on its attention, or whole. */
import { imageBatch } from '../../models/batch.js';
import { Encoder, flatten, tokensFor, type EmbedOptions } from '../../models/encoder.js';
import { imageInputs } from '../../models/inputs.js';
import type { ModelFile } from '../../models/model-file.js';
import type { NamedTensor } from '../../models/safetensors.js';
import { imageSummary, vit3d } from '../../models/vit3d.js';
import { loraScope, mergeLora, Params, type LoraOptions } from '../../nn/index.js';
import { drawView } from '../../train/views.js';
import type { Prepared } from '../../volume/tokens.js';
import { TaskError } from '../error.js';
import { probeOf } from './questions.js';
import { tune, type Learner, type Trunk, type TuneOptions, type TuneSettings } from './tune.js';
import { LABEL_KEEPING } from './viewed.js';

export type TunedBy = 'lora' | 'full';

/**
 * Few steps, for few labels on a CPU: a step of nano is half a second on one core. Whole weights move slowly, or a few
 * labels would undo what was learnt without any (Kumar et al. 2022).
 */
export const FINETUNE: Readonly<Record<TunedBy, TuneSettings>> = {
  lora: { steps: 60, batch: 8, learningRate: 1e-3, weightDecay: 0 },
  full: { steps: 60, batch: 8, learningRate: 5e-5, weightDecay: 0.05 },
};

/** Rank and factor of Hu et al. 2021 for small data; all projections of attention move. */
export const LORA: LoraOptions = { rank: 8, alpha: 16, targets: /\.attention\.(qkv|out)\.weight$/ };
/** Tokens of a view in training; the whole image is read when it is asked about. */
const VIEW_TOKENS = 128;
const ROWS = 4;

/** What LoRA has learnt: the two factors of each weight that moves, by the weight's name. */
export interface Adapter {
  readonly rank: number;
  readonly alpha: number;
  readonly weights: Readonly<Record<string, { readonly a: Float32Array; readonly b: Float32Array }>>;
}

export interface Tuned {
  /** The image encoder with its new weights, merged where they are adapted; no text encoder. */
  readonly model: ModelFile;
  readonly adapter?: Adapter;
}

export interface FinetuneOptions extends Omit<TuneOptions, 'seed'>, EmbedOptions {
  readonly settings?: TuneSettings;
}

/**
 * Linear probing, then fine-tuning from it (Kumar et al. 2022), on altered views of the cases.
 * @param prepared of a case. @param summaries of all cases by the frozen encoder. @throws TaskError for a model whose
 * tensors are not those of its size.
 */
export function finetuneLearner(
  by: TunedBy,
  model: ModelFile,
  prepared: (n: number) => Promise<Prepared>,
  summaries: readonly Float32Array[],
  options: FinetuneOptions,
): Learner<Tuned> {
  const { settings = FINETUNE[by] } = options;
  return {
    learn: async (cases, target, seed) => {
      const probe = probeOf(
        cases.map((n) => summaries[n]!),
        target,
      );
      const trunk = { ...finetuneTrunk(by, model, prepared, settings.batch, options), probe };
      const as = (params: Params, flat: Float32Array): ModelFile => tunedOf(by, model, params, flat).model;
      const { params, flat, linear } = await tune(trunk, cases, target, settings, as, { ...options, seed });
      return { learnt: tunedOf(by, model, params, flat), linear };
    },
    vectors: async (tuned, cases) => {
      const { threads } = options;
      const encoder = await Encoder.open(tuned.model, threads === undefined ? {} : { threads });
      const out: Float32Array[] = [];
      try {
        for (let at = 0; at < cases.length; at += ROWS) {
          const sets = [];
          for (const n of cases.slice(at, at + ROWS))
            sets.push(tokensFor(await prepared(n), model.config.samples, options));
          out.push(...(await encoder.features(sets)).map(({ summary }) => summary));
        }
      } finally {
        await encoder.close();
      }
      return out;
    },
  };
}

/** The encoder below the linear layer, with what of it may move as parameters. */
export function finetuneTrunk(
  by: TunedBy,
  model: ModelFile,
  prepared: (n: number) => Promise<Prepared>,
  batch: number,
  { patchMm = 16, maxTokens = 2048 }: EmbedOptions = {},
): Trunk {
  const { config } = model;
  const length = Math.min(VIEW_TOKENS, maxTokens);
  const spec = { tokens: length, patchMm: [[patchMm, 1]] as const, extent: [0.8, 1] as const };
  const layout = imageParams(model);
  const frozen = flatten(layout, model.tensors);
  return {
    build: (graph, scope) => {
      const weights =
        by === 'full' ? scope : loraScope(layout.bindConstants(graph, frozen), scope.child('lora'), LORA);
      const input = imageInputs(graph, 'image', batch, length, config.samples);
      return imageSummary(vit3d(weights.child('image'), config, input));
    },
    feeds: async (cases, random) => {
      const sets = [];
      for (const n of cases)
        sets.push(drawView(await prepared(n), config.samples, spec, LABEL_KEEPING, random));
      const entries = Object.entries(imageBatch(sets, length, config.samples));
      return {
        feeds: Object.fromEntries(entries.map(([name, data]) => [`image.${name}`, data as Float32Array])),
        tokens: sets.reduce((sum, { count }) => sum + count, 0),
      };
    },
    ...(by === 'full' && { start: (name: string) => model.tensors.get(name)?.data }),
  };
}

function imageParams({ config }: ModelFile): Params {
  return Params.collect((graph, scope) => {
    vit3d(scope.child('image'), config, imageInputs(graph, 'image', 1, 4, config.samples));
  });
}

function tunedOf(by: TunedBy, model: ModelFile, params: Params, flat: Float32Array): Tuned {
  const values = new Map(
    params.slices.map(({ name, offset, size }) => [name, flat.slice(offset, offset + size)]),
  );
  if (by === 'full') {
    const tensors = new Map<string, NamedTensor>();
    for (const { name, shape } of imageParams(model).slices)
      tensors.set(name, { name, shape, data: values.get(name)! });
    return { model: imageOnly(model, tensors) };
  }
  const { rank, alpha } = LORA;
  const weights: Record<string, { a: Float32Array; b: Float32Array }> = {};
  for (const [name, a] of values) {
    const match = /^lora\.(.*)\.a$/.exec(name);
    if (match) weights[match[1]!] = { a, b: values.get(`lora.${match[1]!}.b`)! };
  }
  const adapter = { rank, alpha, weights };
  return { model: withAdapter(model, adapter), adapter };
}

/** Image and text had a common space before one of them moved. */
function imageOnly(model: ModelFile, tensors: Map<string, NamedTensor>): ModelFile {
  const { config, step, provenance } = model;
  return { config, step, provenance, tokenizer: null, tensors };
}

/**
 * The model's image encoder with an adapter merged into its weights.
 * @throws TaskError when the adapter is of a model of another size.
 */
export function withAdapter(model: ModelFile, { rank, alpha, weights }: Adapter): ModelFile {
  const tensors = new Map([...model.tensors].filter(([name]) => name.startsWith('image.')));
  for (const [name, { a, b }] of Object.entries(weights)) {
    const tensor = tensors.get(name);
    if (tensor?.shape[0] !== a.length / rank || tensor.shape[1] !== b.length / rank)
      throw new TaskError(
        `head: its adapter moves "${name}" of [${a.length / rank}, ${b.length / rank}], the model's is ` +
          `${tensor ? `[${tensor.shape.join(', ')}]` : 'missing'}; use the model of size and version that it was fitted on`,
      );
    const data = mergeLora(tensor.data, a, b, { rank, alpha });
    tensors.set(name, { ...tensor, data });
  }
  return imageOnly(model, tensors);
}
