/** What a model has learnt from: it stays with the weights wherever they go. */
import { z } from 'zod';
import { ModelError } from './sizes.js';

const sourceSchema = z.object({
  /** Pseudonymous name of the source in its corpus (so-…). */
  source: z.string(),
  licence: z.string(),
  /** The uses that the rights of these series permitted when they were trained on. */
  use: z.array(z.string()),
  reference: z.string().nullable(),
  expires: z.string().nullable(),
  attribution: z.string().nullable(),
  /** How many series of the source were in the training set. */
  series: z.number().int(),
});
export type SourceRecord = z.infer<typeof sourceSchema>;

export const provenanceSchema = z.object({
  /** The training runs behind the weights, the first one first. */
  runs: z.array(z.object({ id: z.string(), kind: z.string() })),
  sources: z.array(sourceSchema),
  /** Series in the training sets, each counted once. */
  series: z.number().int(),
  /** Those series, as hashes that can be asked for an id (`SeenSet`). */
  seen: z.string(),
});
export type Provenance = z.infer<typeof provenanceSchema>;

/** Of weights that have seen nothing. */
export const NO_PROVENANCE: Provenance = { runs: [], sources: [], series: 0, seen: '' };

/** The sources of a model whose rights, at a moment, do not permit that its weights are given away, and why. */
export function sharingRefusals(
  { sources }: Provenance,
  now: Date = new Date(),
): { source: SourceRecord; reason: string }[] {
  const today = now.toISOString().slice(0, 10);
  return sources.flatMap((source) => {
    const { licence, use, expires } = source;
    if (expires !== null && today > expires) return [{ source, reason: `its rights expired on ${expires}` }];
    if (!use.includes('share-weights'))
      return [{ source, reason: `its rights (${licence}: ${use.join(', ')}) lack "share-weights"` }];
    return [];
  });
}

/** @throws ModelError when any series that the model saw may not be shared in the form of weights. */
export function requireSharing(provenance: Provenance, doing: string, now: Date = new Date()): void {
  const refused = sharingRefusals(provenance, now);
  if (refused.length === 0) return;
  const series = refused.reduce((sum, { source }) => sum + source.series, 0);
  const named = refused.slice(0, 3).map(({ source, reason }) => `${source.source}: ${reason}`);
  throw new ModelError(
    `${doing}: the rights of every series that the model saw must permit "share-weights", but those of ${series} ` +
      `series do not (${named.join('; ')}${refused.length > 3 ? '; …' : ''}); train on series whose rights do, ` +
      `e.g. with --where "array_has(use, 'share-weights')"`,
  );
}
