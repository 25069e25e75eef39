/** The views of a step for whichever objective a recipe is of. */
import type { Series } from '../corpus/series.js';
import type { TypedArray } from '../graph/index.js';
import type { ModelConfig } from '../models/sizes.js';
import { pretrainBatch, type Studies } from './crops.js';
import type { StepShare, VolumeCache } from './loader.js';
import { maeBatch, type MaeRecipe } from './mae.js';
import type { PretrainRecipe } from './pretrain.js';

/** Of the student and its teacher, or of masked autoencoding. */
export type CutRecipe = PretrainRecipe | MaeRecipe;

export interface CutBatch {
  readonly feeds: Record<string, TypedArray>;
  readonly tokens: number;
  readonly ids: string[];
  readonly shown: Series[];
}

/** The feeds of a rank's share of a step, decided by the step alone: the same in whichever thread. */
export function cutBatch(
  cache: VolumeCache,
  series: readonly Series[],
  config: ModelConfig,
  recipe: CutRecipe,
  at: StepShare,
  studies: Studies,
): Promise<CutBatch> {
  return 'visible' in recipe
    ? maeBatch(cache, series, config, recipe, at)
    : pretrainBatch(cache, series, config, recipe, at, studies);
}
