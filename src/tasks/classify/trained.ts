/** Heads that are trained by gradient steps, cross-fitted on the labelled series: what `precess fit` asks for by name. */
import type { Features } from '../../models/encoder.js';
import type { ModelFile } from '../../models/model-file.js';
import { Prepared } from '../../volume/tokens.js';
import type { Volume } from '../../volume/volume.js';
import { ATTENTIVE, attentiveLearner } from './attentive.js';
import { FINETUNE, finetuneLearner } from './finetune.js';
import type { FittedHead } from './head-file.js';
import type { Prediction, Target } from './prediction.js';
import { crossTune, type TuneOptions } from './tune.js';

export const TRAINED = ['attentive', 'lora', 'full'] as const;
export type TrainedBy = (typeof TRAINED)[number];

export interface TrainedOptions extends Omit<TuneOptions, 'onStep'> {
  readonly folds: number;
  readonly patchMm: number;
  readonly maxTokens: number;
  /** Steps of each training; the method's own number unless given. */
  readonly steps?: number;
  /** After each step, with those of all trainings done so far. */
  readonly onStep?: (done: number, total: number, loss: number) => void;
}

/**
 * Predictions of every case by a head that has not seen its patient, and what was fitted on all of them.
 * @param cases features by the frozen encoder, patient, and prepared volume of each labelled series.
 * @throws TaskError when a class has too few patients, or when stopped.
 */
export async function fitTrained(
  by: TrainedBy,
  model: ModelFile,
  cases: {
    readonly features: readonly Features[];
    readonly patients: readonly string[];
    readonly prepared: (n: number) => Promise<Prepared>;
  },
  target: Target,
  options: TrainedOptions,
): Promise<{ predictions: Prediction[]; fitted: Pick<FittedHead, 'head' | 'model' | 'pool' | 'adapter'> }> {
  const { folds, seed, steps } = options;
  const recipe = by === 'attentive' ? ATTENTIVE : FINETUNE[by];
  const settings = { ...recipe, ...(steps !== undefined && { steps }) };
  const total = (folds + 1) * settings.steps;
  let done = 0;
  const how = { ...options, onStep: (_: number, loss: number) => options.onStep?.(++done, total, loss) };
  if (by === 'attentive') {
    const learner = attentiveLearner(cases.features, model.config, how, settings);
    const { predictions, head, learnt } = await crossTune(cases.patients, target, learner, { folds, seed });
    return { predictions, fitted: { head, model, pool: learnt } };
  }
  const summaries = cases.features.map(({ summary }) => summary);
  const learner = finetuneLearner(by, model, cases.prepared, summaries, { ...how, settings });
  const { predictions, head, learnt } = await crossTune(cases.patients, target, learner, { folds, seed });
  const { adapter } = learnt;
  return { predictions, fitted: { head, ...(adapter ? { model, adapter } : { model: learnt.model }) } };
}

/** Prepared volumes by id, the first of which are kept up to `maxBytes`; the others are read again each time. */
export function holding(
  volumeOf: (id: string) => Promise<Volume>,
  maxBytes: number,
): (id: string) => Promise<Prepared> {
  const held = new Map<string, Prepared>();
  let bytes = 0;
  return async (id) => {
    const known = held.get(id);
    if (known) return known;
    const prepared = new Prepared(await volumeOf(id));
    // Averaged copies that views will need come to about as much again.
    bytes += 2 * prepared.bytes;
    if (bytes <= maxBytes) held.set(id, prepared);
    return prepared;
  };
}
