/** The page that goes with the weights: what they are, what they learnt from, what they may not be used for. */
import { z } from 'zod';
import { hasMetText, type ModelFile } from './model-file.js';

/** Scores of an evaluation, as "precess evaluate --json" prints them. */
export const cardResults = z.object({
  suite: z.string(),
  metrics: z.record(
    z.string(),
    z.object({ value: z.number(), ci95: z.tuple([z.number(), z.number()]), n: z.number() }),
  ),
});
export type CardResults = z.infer<typeof cardResults>;

/**
 * A model card (Mitchell et al. 2019) in Markdown. Everything in it comes from the model file and from measured results;
 * `files` says what lies beside it.
 */
export function modelCard(
  model: ModelFile,
  files: Readonly<Record<string, string>>,
  results: readonly CardResults[] = [],
): string {
  const { config, step, provenance, tensors, textEncoder } = model;
  const text = textEncoder
    ? ` in the space of texts as "${cell(textEncoder.name)}" reads them, a text encoder that is not part of it\n` +
      `(SHA-256 \`${textEncoder.sha256}\`)`
    : model.tokenizer
      ? ' with a text encoder in the same space'
      : '';
  const weights = [...tensors.values()].reduce((sum, { data }) => sum + data.length, 0);
  const training =
    provenance.runs.length === 0
      ? 'None: the weights are random.'
      : `${provenance.runs.map(({ kind }) => kind).join(', then ')}; ${step} steps in the last of them, on ` +
        `${provenance.series} series.`;
  return `# Precess ${config.size}

A 3D encoder of MR images${text}: ${(weights / 1e6).toFixed(1)} million weights,
width ${config.embedDim}, ${config.layers} layers, ${config.heads} heads. A token is a cube of anatomy of ${config.samples}³ samples; vectors of
an image have ${hasMetText(model) ? config.jointDim : 2 * config.embedDim} elements and length 1.

**Not for clinical use.** The model has been cleared by no authority; it must not decide or inform the care of a patient.

## Training

${training}

${sourcesTable(provenance.sources)}
## Measured results

${results.length === 0 ? 'No results were given when this card was written.\n' : results.map(resultsTable).join('\n')}
## Limits

Scores hold for images like those they were measured on; other scanners, sequences, body parts and patients may give
others. The training images' gaps in age, sex, origin and disease are the model's. A vector of an image may tell more of
a person than its pixels seem to: treat vectors as you treat the images they were made from.

## Files

${Object.entries(files)
  .map(([name, what]) => `- \`${name}\`: ${what}`)
  .join('\n')}
`;
}

const cell = (text: string | null): string => (text ?? '').replaceAll('|', '\\|').replaceAll('\n', ' ');

function sourcesTable(sources: ModelFile['provenance']['sources']): string {
  if (sources.length === 0) return '';
  const rows = sources.map(
    ({ source, series, licence, attribution, reference, use }) =>
      `| ${source} | ${series} | ${cell(licence)} | ${use.join(', ')} | ${cell(attribution)} | ${cell(reference)} |`,
  );
  return `| source | series | licence | permitted uses | attribution | consent or contract |
| --- | --- | --- | --- | --- | --- |
${rows.join('\n')}

`;
}

function resultsTable({ suite, metrics }: CardResults): string {
  const rows = Object.entries(metrics).map(
    ([name, { value, ci95, n }]) =>
      `| ${name} | ${value.toFixed(3)} | ${ci95[0].toFixed(3)} to ${ci95[1].toFixed(3)} | ${n} |`,
  );
  return `${cell(suite)}:

| score | value | 95 % interval | patients |
| --- | --- | --- | --- |
${rows.join('\n')}
`;
}
