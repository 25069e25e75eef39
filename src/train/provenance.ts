/** What a run learns from: recorded with the corpus before it starts, and with every checkpoint. */
import { createHash } from 'node:crypto';
import { basename, resolve } from 'node:path';
import { registerRun } from '../corpus/runs.js';
import { SeenSet } from '../corpus/seen.js';
import type { Series } from '../corpus/series.js';
import { NO_PROVENANCE, type Provenance, type SourceRecord } from '../models/provenance.js';

/**
 * The provenance of weights that learn from `training`, starting from weights with the provenance `base`. All series of
 * the training set count as seen, whether or not the run came as far as each. The id of the run follows from its
 * settings, its series and what it starts from, as its weights do.
 */
export function provenanceOf(
  kind: string,
  settings: Record<string, unknown>,
  training: readonly Pick<Series, 'id' | 'source' | 'rights'>[],
  base: Provenance = NO_PROVENANCE,
): Provenance {
  const lineage = base.runs.map(({ id }) => id);
  const before = SeenSet.parse(base.seen);
  const seen = before.union(SeenSet.of(training.map(({ id }) => id)));
  const sources = new Map(base.sources.map((one) => [keyOf(one), one]));
  const inBase = new Set(sources.keys());
  for (const { id, source, rights } of training) {
    const record = { source, ...rights, series: 0 };
    const key = keyOf(record);
    const counted = inBase.has(key) && before.has(id) ? 0 : 1;
    sources.set(key, { ...record, series: (sources.get(key)?.series ?? 0) + counted });
  }
  const hash = createHash('sha256').update(JSON.stringify([settings, lineage, seen.toString()]));
  return {
    runs: [...base.runs, { id: `run-${hash.digest('hex').slice(0, 16)}`, kind }],
    sources: [...sources.values()],
    series: seen.size,
    seen: seen.toString(),
  };
}

const keyOf = ({ source, licence, use, reference, expires, attribution }: SourceRecord): string =>
  JSON.stringify([source, licence, use, reference, expires, attribution]);

/** Registers the newest run of a provenance with the corpus in `dir`, under the name of its folder. */
export async function registerWith(
  dir: string,
  provenance: Provenance,
  run: string,
  resumed: boolean,
  warn: (message: string) => void,
): Promise<void> {
  const { id, kind } = provenance.runs.at(-1)!;
  const written = await registerRun(dir, {
    id,
    kind,
    label: basename(resolve(run)),
    base: provenance.runs.slice(0, -1).map((one) => one.id),
    series: provenance.series,
    seen: provenance.seen,
    sources: provenance.sources.map(({ source, licence, series }) => ({ source, licence, series })),
    resumed,
  });
  if (!written)
    warn(
      `${kind}: the corpus may only be read, so that the run is not registered there: a later "precess corpus ` +
        'withdraw" will not name its checkpoints',
    );
}
