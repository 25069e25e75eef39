/** Features of many series by the frozen encoder, reading ahead while it computes. */
import type { Series } from '../../corpus/series.js';
import {
  tokensFor,
  type Around,
  type EmbedOptions,
  type Encoder,
  type Features,
} from '../../models/encoder.js';
import { Prepared, type TokenSet } from '../../volume/tokens.js';
import { VolumeError, type Volume } from '../../volume/volume.js';
import { allViews } from './views.js';

/** Features, and what a head that reads all views of a series sees of it. */
export interface SeriesFeatures extends Features {
  /** See `allViews`; there where it was asked for. */
  readonly all?: Float32Array;
}

export interface FeatureOptions extends EmbedOptions {
  /** Whether `all` of the features is wanted. */
  readonly views?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
  readonly warn?: (message: string) => void;
  /** Where to look in a series instead of at all of it. */
  readonly aroundOf?: (id: string) => Around | undefined;
}

/** Series that share a run of the encoder. */
const ROWS = 4;

/**
 * Features of every series that shows something; those that hold nothing to see are left out with a warning. Series of
 * like size share a run, so that little of it is padding. Stops early when `signal` fires.
 */
export async function featuresOf(
  volumeOf: (id: string) => Promise<Volume>,
  encoder: Encoder,
  series: readonly Pick<Series, 'id'>[],
  options: FeatureOptions = {},
): Promise<Map<string, SeriesFeatures>> {
  const out = new Map<string, SeriesFeatures>();
  const waiting = new Map<number, { id: string; tokens: TokenSet }[]>();
  const flush = async (items: readonly { id: string; tokens: TokenSet }[]): Promise<void> => {
    const found = await encoder.features(items.map(({ tokens }) => tokens));
    items.forEach(({ id, tokens }, n) =>
      out.set(id, { ...found[n]!, ...(options.views && { all: allViews(found[n]!, tokens) }) }),
    );
  };
  const cut = async (n: number): Promise<TokenSet | null> => {
    const { id } = series[n]!;
    try {
      const prepared = new Prepared(await volumeOf(id));
      const around = options.aroundOf?.(id);
      return tokensFor(prepared, encoder.config.samples, { ...options, ...(around && { around }) });
    } catch (error) {
      if (!(error instanceof VolumeError)) throw error;
      options.warn?.(`${id} is left out: ${error.message}`);
      return null;
    }
  };
  let next = series.length > 0 ? cut(0) : null;
  for (const [n, { id }] of series.entries()) {
    if (options.signal?.aborted) break;
    const tokens = await next;
    next = n + 1 < series.length ? cut(n + 1) : null;
    next?.catch(() => undefined);
    if (tokens) {
      const bucket = Math.ceil(Math.log2(Math.max(32, tokens.count)));
      const items = [...(waiting.get(bucket) ?? []), { id, tokens }];
      if (items.length === ROWS) await flush(items);
      waiting.set(bucket, items.length === ROWS ? [] : items);
    }
    options.onProgress?.(n + 1, series.length);
  }
  for (const items of waiting.values()) if (items.length > 0 && !options.signal?.aborted) await flush(items);
  return out;
}
