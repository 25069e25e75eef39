/** Taking series out of the index of a corpus. */
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Connection } from '@lancedb/lancedb';
import { SeenSet } from '../corpus/seen.js';
import type { Series } from '../corpus/series.js';
import { isRemote, openStore } from '../corpus/store.js';
import { MODEL_FILE, openModel } from '../models/model-file.js';
import { studyPoolOf } from '../models/study-pool.js';
import { FOLDER } from './index-store.js';
import { PROMPTS } from './prompts.js';
import { quoted, removeImages } from './search-table.js';

export interface Unindexed {
  /** Vectors of series, and texts with their vectors, that were removed. */
  readonly images: number;
  readonly texts: number;
  /** How many of the series the model of the index had learnt from; it goes only with an index that nothing is left of. */
  readonly modelSaw: number;
}

/** How many of the series `ids` a model may have learnt from. @throws ModelError when there is no model at `path`. */
export async function seenBy(path: string, ids: readonly string[]): Promise<number> {
  const { provenance } = await openModel(path);
  const seen = SeenSet.parse(provenance.seen);
  return ids.filter((id) => seen.has(id)).length;
}

/**
 * Removes the vectors of the series `gone` from the index of the corpus in `dir`, and their texts where none of `kept`
 * has the same, so that no file of the index holds them. An index left without series is removed, as is one that is
 * being made (that command fails and can be run again) or that was about to be replaced.
 */
export async function withdrawFromIndex(
  dir: string,
  gone: readonly Series[],
  kept: readonly Series[],
): Promise<Unindexed> {
  if (isRemote(dir)) {
    // None is made there; one that was copied along with a folder is of no use there.
    const store = await openStore(dir);
    for (const name of [FOLDER, `.${FOLDER}.partial`, `.${FOLDER}.old`]) await store.remove(name);
    return { images: 0, texts: 0, modelSaw: 0 };
  }
  for (const name of [`.${FOLDER}.partial`, `.${FOLDER}.old`])
    await rm(join(dir, name), { recursive: true, force: true });
  const folder = join(dir, FOLDER);
  if (!(await stat(folder).catch(() => null))) return { images: 0, texts: 0, modelSaw: 0 };
  const model = join(folder, MODEL_FILE);
  const ids = gone.map(({ id }) => id);
  const hasModel = (await stat(model).catch(() => null)) !== null;
  const modelSaw = hasModel ? await seenBy(model, ids) : 0;
  const pool = hasModel ? studyPoolOf(await openModel(model)) : null;
  const { connect } = await import('@lancedb/lancedb');
  const db = await connect(folder);
  let images: Removed;
  let texts: Removed = { removed: 0, left: 0 };
  try {
    images = await removeImages(db, new Set(ids), pool);
    const stay = new Set([...kept.map(({ text }) => text), ...PROMPTS]);
    const lost = new Set(gone.map(({ text }) => text).filter((text) => !stay.has(text)));
    if ((await db.tableNames()).includes('texts')) texts = await removeTexts(db, lost);
  } finally {
    db.close();
  }
  if (images.left === 0) await rm(folder, { recursive: true, force: true });
  return { images: images.removed, texts: texts.removed, modelSaw };
}

interface Removed {
  readonly removed: number;
  readonly left: number;
}

async function removeTexts(db: Connection, lost: ReadonlySet<string>): Promise<Removed> {
  const table = await db.openTable('texts');
  try {
    const before = await table.countRows();
    const names = [...lost].map(quoted);
    const query = table.query();
    const rest = await (
      names.length === 0 ? query : query.where(`text NOT IN (${names.join(', ')})`)
    ).toArrow();
    if (rest.numRows < before) {
      // Deleting only marks rows as gone in a file that keeps them; written anew, the table is without them.
      const fresh =
        rest.numRows === 0
          ? await db.createEmptyTable('texts', rest.schema, { mode: 'overwrite' })
          : await db.createTable('texts', rest, { mode: 'overwrite' });
      fresh.close();
    }
    await table.checkoutLatest();
    await table.optimize({ cleanupOlderThan: new Date() });
    return { removed: before - rest.numRows, left: rest.numRows };
  } finally {
    table.close();
  }
}
