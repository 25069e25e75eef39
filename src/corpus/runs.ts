/** Which training runs saw which series of a corpus: a file a run, so that a withdrawal can name them. */
import { z } from 'zod';
import { isReadOnly, recordAudit } from './audit.js';
import { SeenSet } from './seen.js';
import { type CorpusStore, openStore } from './store.js';

const FOLDER = 'runs';

const runSchema = z.object({
  /** The same for the same settings on the same series, as are the weights. */
  id: z.string().regex(/^run-[0-9a-f]{16}$/),
  /** "pretrain", "align", …. */
  kind: z.string(),
  /** Names of the run folders it was made in; never their paths. */
  labels: z.array(z.string()),
  /** Runs whose weights it started from. */
  base: z.array(z.string()),
  /** When it was first started, ISO 8601 UTC. */
  started: z.string(),
  /** How many series it, or a run that it started from, may have learnt from. */
  series: z.number().int(),
  /** Those series, as a SeenSet. */
  seen: z.string(),
});
export type RunRecord = z.infer<typeof runSchema>;

/** What a run says of itself when it starts. */
export interface StartedRun {
  readonly id: string;
  readonly kind: string;
  readonly label: string;
  readonly base: readonly string[];
  readonly series: number;
  readonly seen: string;
  /** Pseudonymous ids of the sources and how many series of each. */
  readonly sources: readonly { readonly source: string; readonly licence: string; readonly series: number }[];
  readonly resumed: boolean;
}

/**
 * Registers a run with the corpus in `dir`, before it learns anything, and notes it in the audit log. Returns false
 * where the corpus may only be read: then a withdrawal will not name the run.
 */
export async function registerRun(dir: string, run: StartedRun): Promise<boolean> {
  const { id, kind, label, base, series, seen, sources, resumed } = run;
  try {
    const store = await openStore(dir);
    const before = await readRun(store, id);
    const record: RunRecord = {
      id,
      kind,
      labels: [...new Set([...(before?.labels ?? []), label])],
      base: [...base],
      started: before?.started ?? new Date().toISOString(),
      series,
      seen,
    };
    await store.write(keyOf(id), Buffer.from(`${JSON.stringify(record)}\n`), { mode: 0o600 });
    await recordAudit(dir, 'train', { run: id, kind, base, series, sources, resumed });
    return true;
  } catch (error) {
    if (isReadOnly(error)) return false;
    throw error;
  }
}

/** The registered runs of the corpus in `dir`, in the order in which they were started. */
export async function readRuns(dir: string): Promise<RunRecord[]> {
  const store = await openStore(dir);
  const names = await store.names(FOLDER);
  const ids = names.flatMap((name) => /^(run-[0-9a-f]{16})\.json$/.exec(name)?.[1] ?? []);
  const runs = await Promise.all(ids.map((id) => readRun(store, id)));
  return runs.filter((run) => run !== null).sort((a, b) => (a.started < b.started ? -1 : 1));
}

const keyOf = (id: string): string => `${FOLDER}/${id}.json`;

async function readRun(store: CorpusStore, id: string): Promise<RunRecord | null> {
  const bytes = await store.read(keyOf(id));
  if (bytes === null) return null;
  try {
    return runSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch {
    return null;
  }
}

/** The registered runs that saw any of `ids`, with how many of them. */
export async function runsThatSaw(
  dir: string,
  ids: readonly string[],
): Promise<{ run: RunRecord; saw: number }[]> {
  return (await readRuns(dir)).flatMap((run) => {
    const seen = SeenSet.parse(run.seen);
    const saw = ids.filter((id) => seen.has(id)).length;
    return saw > 0 ? [{ run, saw }] : [];
  });
}
