/** Named model sizes, in one table. */

export class ModelError extends Error {
  override readonly name = 'ModelError';
}

/** Everything that decides the shapes of a model; stored with its weights. */
export interface ModelConfig {
  readonly size: string;
  /** Image encoder: width, depth, heads. */
  readonly embedDim: number;
  readonly layers: number;
  readonly heads: number;
  /** Samples along each side of a token's cube. */
  readonly samples: number;
  /** Length of the joint image-text vector. */
  readonly jointDim: number;
  /** Text encoder: width, depth, heads, longest text in tokens. */
  readonly textDim: number;
  readonly textLayers: number;
  readonly textHeads: number;
  readonly textLength: number;
}

/**
 * pico, of 85,000 weights, is for trying things out and for tests; nano runs on a laptop; small and base follow ViT-S and
 * ViT-B (Dosovitskiy et al. 2021, table 1; Touvron et al. 2021), large ViT-L. The cube grid grows with the width so that the patch embedding stays a small part of the weights: at
 * base 12³ samples of a 16 mm cube are 1.33 mm apart and the encoder has 86 million parameters.
 */
const SIZES = {
  pico: {
    embedDim: 48,
    layers: 2,
    heads: 1,
    samples: 8,
    jointDim: 48,
    textDim: 48,
    textLayers: 1,
    textHeads: 1,
  },
  nano: {
    embedDim: 192,
    layers: 8,
    heads: 3,
    samples: 8,
    jointDim: 256,
    textDim: 192,
    textLayers: 2,
    textHeads: 3,
  },
  small: {
    embedDim: 384,
    layers: 12,
    heads: 6,
    samples: 8,
    jointDim: 384,
    textDim: 384,
    textLayers: 6,
    textHeads: 6,
  },
  base: {
    embedDim: 768,
    layers: 12,
    heads: 12,
    samples: 12,
    jointDim: 512,
    textDim: 512,
    textLayers: 12,
    textHeads: 8,
  },
  large: {
    embedDim: 1024,
    layers: 24,
    heads: 16,
    samples: 16,
    jointDim: 768,
    textDim: 768,
    textLayers: 12,
    textHeads: 12,
  },
} as const;

export type ModelSize = keyof typeof SIZES;
export const MODEL_SIZES = Object.keys(SIZES) as ModelSize[];

/** The configuration of a named size. @throws ModelError for a name that is not in the table. */
export function modelConfig(size: string): ModelConfig {
  if (!Object.hasOwn(SIZES, size))
    throw new ModelError(`model: size is one of ${MODEL_SIZES.join(', ')}, got "${size}"`);
  return { size, ...SIZES[size as ModelSize], textLength: 64 };
}
