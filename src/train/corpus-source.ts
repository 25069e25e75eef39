/** A corpus as the source of volumes of a thread of its own. */
import { Corpus } from '../corpus/corpus.js';

export const openSource = (dir: unknown): Promise<Corpus> => Corpus.open(dir as string);
