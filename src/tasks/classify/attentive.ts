/** The attentive probe: a learned pooling of the frozen encoder's tokens, and a linear layer. */
import type { Features } from '../../models/encoder.js';
import type { ModelFile } from '../../models/model-file.js';
import { NO_PROVENANCE } from '../../models/provenance.js';
import type { ModelConfig } from '../../models/sizes.js';
import { attentivePool, poolOf, poolTokens, type Pool } from './attentive-pool.js';
import { tune, type Learner, type Trunk, type TuneOptions, type TuneSettings } from './tune.js';

/** 150 steps on features take seconds on one core; nothing else of the recipe was searched. */
export const ATTENTIVE: TuneSettings = { steps: 150, batch: 16, learningRate: 3e-3, weightDecay: 0.05 };
/** Longest set that a step sees; of a longer one the step draws this many tokens. */
const MOST = 256;

/**
 * @param features of every case, by the frozen encoder of `config`.
 */
export function attentiveLearner(
  features: readonly Features[],
  config: ModelConfig,
  options: Omit<TuneOptions, 'seed'>,
  settings: TuneSettings = ATTENTIVE,
): Learner<Pool> {
  const { heads } = config;
  const trunk = attentiveTrunk(features, config, settings.batch);
  return {
    learn: async (cases, target, seed) => {
      const model = (): ModelFile => ({
        config,
        tokenizer: null,
        step: 0,
        provenance: NO_PROVENANCE,
        tensors: new Map(),
      });
      const { params, flat, linear } = await tune(trunk, cases, target, settings, model, {
        ...options,
        seed,
      });
      return { learnt: poolOf(params.slices, flat, heads), linear };
    },
    vectors: (pool, cases) => Promise.resolve(cases.map((n) => poolTokens(pool, features[n]!.tokens))),
  };
}

export function attentiveTrunk(
  features: readonly Features[],
  { embedDim, heads }: ModelConfig,
  batch: number,
): Trunk {
  const longest = features.reduce((most, { tokens }) => Math.max(most, tokens.length / embedDim), 1);
  const length = Math.min(MOST, longest);
  return {
    build: (graph, scope) =>
      attentivePool(
        scope.child('pool'),
        graph.input('tokens', 'float32', [batch, length, embedDim]),
        graph.input('keep', 'float32', [batch, length]),
        heads,
      ),
    feeds: (cases, random) => {
      const tokens = new Float32Array(batch * length * embedDim);
      const keep = new Float32Array(batch * length);
      cases.forEach((n, row) => {
        const own = features[n]!.tokens;
        const count = own.length / embedDim;
        const chosen =
          count > length ? random.sample(count, length) : Int32Array.from({ length: count }, (_, t) => t);
        chosen.forEach((from, t) =>
          tokens.set(own.subarray(from * embedDim, (from + 1) * embedDim), (row * length + t) * embedDim),
        );
        keep.fill(1, row * length, row * length + chosen.length);
      });
      return Promise.resolve({ feeds: { tokens, keep }, tokens: keep.reduce((a, k) => a + k, 0) });
    },
  };
}
