/** Which series of a remote archive the corpus has taken in, so that they are not fetched again. */
import { z } from 'zod';
import { openStore } from './store.js';

const FOLDER = 'received';

const recordSchema = z.object({
  /** Instances that the archive said the series has, or that it sent. */
  instances: z.number().int(),
  /** What became of it: ids of series of the corpus; none where it holds no usable image. */
  series: z.array(z.string()),
});
export type ReceivedRecord = z.infer<typeof recordSchema>;

/** One small file a series, named by its pseudonym; nothing in it or its name says whose it is. */
export class ReceivedRecords {
  constructor(private readonly corpus: string) {}

  /** null where the series was never taken in, or its record cannot be read. */
  async read(id: string): Promise<ReceivedRecord | null> {
    const bytes = await (await openStore(this.corpus)).read(keyOf(id));
    if (bytes === null) return null;
    try {
      return recordSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
    } catch {
      return null;
    }
  }

  async write(id: string, record: ReceivedRecord): Promise<void> {
    await (await openStore(this.corpus)).write(keyOf(id), Buffer.from(`${JSON.stringify(record)}\n`));
  }
}

// In folders of at most 256, as voxels are.
const keyOf = (id: string): string => `${FOLDER}/${id.slice(3, 5)}/${id}.json`;
