/** How tensors of another framework's vision transformer are named and laid out: a mapping file, and ready-made ones. */
import { z } from 'zod';
import { ModelError } from './sizes.js';

const ruleSchema = z
  .strictObject({
    /** Name in the weights file, or several to be put together; `{i}` stands for a number. */
    from: z.union([z.string(), z.array(z.string()).min(1)]).optional(),
    /** Name in a Precess model, with the same `{i}`. */
    to: z.string(),
    /** Axis along which several are put together, before anything else. 0 unless said. */
    axis: z.number().int().min(0).default(0),
    /** Takes one of several equal parts along an axis. */
    split: z
      .strictObject({
        axis: z.number().int().min(0),
        part: z.number().int().min(0),
        of: z.number().int().min(1),
      })
      .optional(),
    /** Swaps the two axes: frameworks that keep linear layers as [out, in]. */
    transpose: z.boolean().default(false),
    /**
     * A 3D convolution [out, in, z, y, x] whose kernel and stride are a token becomes a linear layer [z y x, out]; its
     * channels are summed, as for one grey image shown to each.
     */
    patch: z.boolean().default(false),
    /** Fills the tensor instead, where the other model has none. */
    constant: z.number().optional(),
  })
  .refine(({ from, constant }) => (from === undefined) !== (constant === undefined), {
    message: 'a rule has either "from" or "constant"',
  });

export const importMapSchema = z.strictObject({
  /** What all names of the file start with; names without it are left alone. */
  prefix: z.string().default(''),
  tensors: z.array(ruleSchema).min(1),
});
export type ImportMap = z.infer<typeof importMapSchema>;
export type ImportRule = z.infer<typeof ruleSchema>;
type RuleInput = z.input<typeof ruleSchema>;

const layer = (name: string): string => `image.blocks.{i}.${name}`;

/** weight and bias of a linear layer stored as [out, in]. */
const linear = (from: string | string[], to: string): RuleInput[] =>
  ['weight', 'bias'].map((part) => ({
    from: typeof from === 'string' ? `${from}.${part}` : from.map((one) => `${one}.${part}`),
    to: `${to}.${part}`,
    transpose: part === 'weight',
  }));

const norm = (from: string, to: string): RuleInput[] => [
  { from: `${from}.weight`, to: `${to}.scale` },
  { from: `${from}.bias`, to: `${to}.bias` },
];

const patch = (from: string): RuleInput[] => [
  { from: `${from}.weight`, to: 'image.patch.fc1.weight', patch: true },
  { from: `${from}.bias`, to: 'image.patch.fc1.bias' },
];

/** Names as timm's VisionTransformer has them, which MAE (He et al. 2022) and DINOv2 (Oquab et al. 2023) share. */
const TIMM: RuleInput[] = [
  ...patch('patch_embed.proj'),
  { from: 'cls_token', to: 'image.cls' },
  ...norm('blocks.{i}.norm1', layer('norm1')),
  ...linear('blocks.{i}.attn.qkv', layer('attention.qkv')),
  ...linear('blocks.{i}.attn.proj', layer('attention.out')),
  ...norm('blocks.{i}.norm2', layer('norm2')),
  ...linear('blocks.{i}.mlp.fc1', layer('mlp.fc1')),
  ...linear('blocks.{i}.mlp.fc2', layer('mlp.fc2')),
  ...norm('norm', 'image.norm'),
];

/** Names as the Transformers library has them for DINOv2: queries, keys and values apart. */
const TRANSFORMERS: RuleInput[] = [
  ...patch('embeddings.patch_embeddings.projection'),
  { from: 'embeddings.cls_token', to: 'image.cls' },
  { from: 'embeddings.mask_token', to: 'image.mask' },
  ...norm('encoder.layer.{i}.norm1', layer('norm1')),
  ...linear(
    ['query', 'key', 'value'].map((name) => `encoder.layer.{i}.attention.attention.${name}`),
    layer('attention.qkv'),
  ),
  ...linear('encoder.layer.{i}.attention.output.dense', layer('attention.out')),
  { from: 'encoder.layer.{i}.layer_scale1.lambda1', to: layer('scale1') },
  ...norm('encoder.layer.{i}.norm2', layer('norm2')),
  ...linear('encoder.layer.{i}.mlp.fc1', layer('mlp.fc1')),
  ...linear('encoder.layer.{i}.mlp.fc2', layer('mlp.fc2')),
  { from: 'encoder.layer.{i}.layer_scale2.lambda1', to: layer('scale2') },
  ...norm('layernorm', 'image.norm'),
];

const READY_MADE: Readonly<Record<string, RuleInput[]>> = {
  // Without a layer scale, a branch counts whole.
  timm: [...TIMM, { to: layer('scale1'), constant: 1 }, { to: layer('scale2'), constant: 1 }],
  dinov2: [
    ...TIMM,
    { from: 'mask_token', to: 'image.mask' },
    { from: 'blocks.{i}.ls1.gamma', to: layer('scale1') },
    { from: 'blocks.{i}.ls2.gamma', to: layer('scale2') },
  ],
  'dinov2-transformers': TRANSFORMERS,
};

export const IMPORT_MAPS = Object.keys(READY_MADE);

/** A ready-made map by its name, or null. */
export const readyMadeMap = (name: string): ImportMap | null =>
  Object.hasOwn(READY_MADE, name) ? importMapSchema.parse({ tensors: READY_MADE[name] }) : null;

/** Reads a mapping file's text. @throws ModelError naming the rule that is wrong. */
export function parseImportMap(json: string, name: string): ImportMap {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new ModelError(`import: ${name} must be JSON, but is not; see docs/models.md for an example`);
  }
  const parsed = importMapSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new ModelError(
    `import: ${name}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is wrong'}; see docs/models.md for an example`,
  );
}
