/** What `precess evaluate` does with a model: encodes what a suite asks about, and judges it. */
import type { Series } from '../corpus/series.js';
import type { Difference } from '../evaluate/compare.js';
import type { Measured } from '../evaluate/intervals.js';
import { EvaluateError } from '../evaluate/error.js';
import { checkApart, thumbprint } from '../evaluate/leakage.js';
import type { SubgroupTable } from '../evaluate/subgroups.js';
import type { Evaluated, HeadQuestion, SuiteOptions, SuiteResult } from '../evaluate/suites.js';
import type { Around, Encoder, Features } from '../models/encoder.js';
import type { Volume } from '../volume/volume.js';
import type { Exhibits } from './evaluate-exhibits.js';
import { CliError, Interrupted, log, progress } from './shared.js';

/** What is asked of a model: a head on its features, texts and images of each other, or images like an image. */
export type Question =
  | ({
      readonly kind: 'head';
      readonly notes: readonly string[];
      /** Images of each case, whose features are joined: volumes are then asked for as "ID:CHANNEL". */
      readonly channels?: readonly string[];
      /** Where to look in the images of each case, and the side of the tokens there; at all of them unless given. */
      readonly look?: { readonly patchMm: number; readonly around: ReadonlyMap<string, Around> };
    } & HeadQuestion)
  | {
      readonly kind: 'texts';
      readonly suite: 'retrieval';
      readonly series: readonly (Evaluated & Pick<Series, 'bodyPart'>)[];
      readonly notes: readonly string[];
    }
  | {
      readonly kind: 'images';
      readonly suite: 'image-retrieval';
      readonly series: readonly (Evaluated & Pick<Series, 'bodyPart' | 'contrast'>)[];
      readonly notes: readonly string[];
    };

export type Encoded = ReadonlyMap<string, Features>;

export interface EncodeOptions {
  readonly maxTokens: number;
  readonly signal: AbortSignal;
  /** What the progress bar says. */
  readonly label?: string;
}

/**
 * What the model makes of every series that shows something: features for heads, unit vectors for the others.
 * @throws Interrupted when `signal` fires.
 */
export async function encode(
  question: Question,
  encoder: Encoder,
  volumeOf: (id: string) => Promise<Volume>,
  { maxTokens, signal, label = 'encoding series' }: EncodeOptions,
): Promise<Encoded> {
  const { kind } = question;
  const channels = question.kind === 'head' ? question.channels : undefined;
  const series =
    channels === undefined
      ? question.series
      : question.series.flatMap((one) => channels.map((channel) => ({ ...one, id: `${one.id}:${channel}` })));
  const bar = progress(label, series.length);
  const look = question.kind === 'head' ? question.look : undefined;
  const options = {
    maxTokens,
    signal,
    warn: log,
    onProgress: (done: number) => bar.update(done),
    ...(look && {
      patchMm: look.patchMm,
      aroundOf: (id: string) => look.around.get(id.split(':')[0]!),
    }),
  };
  const { featuresOf } = await import('../tasks/classify/index.js');
  const encoded = await (kind === 'head' ? featuresOf : vectorsOf)(
    volumeOf,
    encoder,
    series,
    options,
  ).finally(() => bar.stop());
  if (signal.aborted) throw new Interrupted('evaluate: stopped; nothing was written');
  return channels === undefined ? encoded : joined(question.series, channels, encoded);
}

/** One summary a case, of all its channels; a case that lacks one is left out. */
function joined(series: readonly Evaluated[], channels: readonly string[], encoded: Encoded): Encoded {
  const out = new Map<string, Features>();
  for (const { id } of series) {
    const parts = channels.map((channel) => encoded.get(`${id}:${channel}`)?.summary);
    if (parts.some((part) => part === undefined)) continue;
    const summary = Float32Array.from(parts.flatMap((part) => [...part!]));
    out.set(id, { summary, tokens: new Float32Array() });
  }
  return out;
}

async function vectorsOf(
  volumeOf: (id: string) => Promise<Volume>,
  encoder: Encoder,
  series: readonly Evaluated[],
  options: { maxTokens: number; signal: AbortSignal; onProgress: (done: number) => void },
): Promise<Encoded> {
  const [{ Prepared }, { VolumeError }] = await Promise.all([
    import('../volume/tokens.js'),
    import('../volume/volume.js'),
  ]);
  const out = new Map<string, Features>();
  for (const [n, { id }] of series.entries()) {
    if (options.signal.aborted) break;
    try {
      const summary = await encoder.embed(new Prepared(await volumeOf(id)), options);
      out.set(id, { summary, tokens: new Float32Array() });
    } catch (error) {
      if (!(error instanceof VolumeError)) throw error;
      log(`${id} is left out: ${error.message}`);
    }
    options.onProgress(n + 1);
  }
  return out;
}

/**
 * What judges the series by their encodings: of the images as they are (`encoded`), or of altered ones, which heads that
 * were fitted on `encoded` are asked about.
 */
export async function judgeOf(
  question: Question,
  encoder: Encoder,
  encoded: Encoded,
  options: SuiteOptions,
): Promise<(asked: Encoded) => SuiteResult> {
  const { fitSuite, imageRetrievalSuite, retrievalSuite } = await import('../evaluate/suites.js');
  const withNotes = (result: SuiteResult): SuiteResult => ({
    ...result,
    notes: [...question.notes, ...result.notes],
  });
  if (question.kind === 'head') {
    const judge = fitSuite(question, encoded, options);
    return (asked) => withNotes(judge(asked));
  }
  if (question.kind === 'images')
    return (asked) => {
      const seen = question.series.filter(({ id }) => asked.has(id));
      const vectors = seen.map(({ id }) => asked.get(id)!.summary);
      const result = imageRetrievalSuite(seen, vectors, { ...options, checkLeakage: asked === encoded });
      const missing = question.series.length - seen.length;
      return withNotes({
        ...result,
        notes: [...(missing > 0 ? [`${missing} series that show nothing`] : []), ...result.notes],
      });
    };
  const series = question.series.filter(({ id }) => encoded.has(id));
  const texts = await encoder.embedTexts(series.map(({ text }) => text));
  return (asked) => {
    const seen = series.map((_, n) => n).filter((n) => asked.has(series[n]!.id));
    const result = retrievalSuite(
      seen.map((n) => series[n]!),
      seen.map((n) => asked.get(series[n]!.id)!.summary),
      seen.map((n) => texts[n]!),
      { ...options, checkLeakage: asked === encoded },
    );
    const missing = question.series.length - seen.length;
    return withNotes({
      ...result,
      notes: missing > 0 ? [`${missing} series that show nothing`] : [],
    });
  };
}

/** Keeps what both models could encode, so that they are asked the same. */
export function common(a: Encoded, b: Encoded): [Encoded, Encoded] {
  const only = (of: Encoded, other: Encoded): Encoded => new Map([...of].filter(([id]) => other.has(id)));
  return [only(a, b), only(b, a)];
}

/** @throws CliError when a model that is asked for texts has met none. */
export function checkMetText({ kind }: Question, encoder: Encoder, option: string): void {
  if (kind === 'texts' && !encoder.hasMetText)
    throw new CliError(
      `evaluate retrieval: the model of ${option} must have met text; run "precess align" on it first`,
    );
}

/** The scores of the first model, and what stands beside them. */
export interface Evaluation {
  readonly result: SuiteResult;
  readonly against?: {
    readonly result: SuiteResult;
    readonly differences: Readonly<Record<string, Difference>>;
  };
  readonly subgroups: readonly SubgroupTable[];
  readonly robustness?: readonly Curve[];
  /** For the page alone. */
  readonly exhibits?: Exhibits;
}

/** Scores by how much worse the images were made. */
export interface Curve {
  readonly name: string;
  readonly unit: string;
  /** From the images as they are (strength 0) to the strongest change. */
  readonly points: readonly {
    readonly strength: number;
    readonly label: string;
    readonly metrics: Readonly<Record<string, Measured>>;
    /** Cases that still showed something. */
    readonly series: number;
  }[];
}

type VolumeOf = (id: string) => Promise<Volume>;

/** Takes a thumbprint of every volume that is read. */
export function withThumbprints(volumeOf: VolumeOf): {
  volumeOf: VolumeOf;
  thumbprints: ReadonlyMap<string, Float32Array | null>;
} {
  const thumbprints = new Map<string, Float32Array | null>();
  return {
    thumbprints,
    volumeOf: async (id) => {
      const volume = await volumeOf(id);
      thumbprints.set(id, thumbprint(volume));
      return volume;
    },
  };
}

/** @throws EvaluateError when one image stands under two patients. */
export function checkCopies(question: Question, thumbprints: ReadonlyMap<string, Float32Array | null>): void {
  const { series } = question;
  const first = question.kind === 'head' && question.channels ? `:${question.channels[0]!}` : '';
  checkApart(
    series,
    undefined,
    series.map(({ id }) => thumbprints.get(`${id}${first}`) ?? null),
  );
}

export interface CurveOptions {
  readonly maxTokens: number;
  readonly signal: AbortSignal;
  readonly seed: number;
  /** Names of the changes to make; all unless given. */
  readonly only?: readonly string[];
}

/** Runs the suite on images made worse; heads stay those that were fitted on the images as they are. */
export async function curves(
  question: Question,
  encoder: Encoder,
  volumeOf: VolumeOf,
  judge: (asked: Encoded) => SuiteResult,
  clean: SuiteResult,
  { maxTokens, signal, seed, only }: CurveOptions,
): Promise<Curve[]> {
  const [{ DEGRADATIONS }, { Random }] = await Promise.all([
    import('../evaluate/degrade.js'),
    import('../volume/random.js'),
  ]);
  const place = new Map(question.series.map(({ id }, n) => [id, n]));
  const asIs = { strength: 0, label: 'as it is', metrics: clean.metrics, series: clean.series };
  const out: Curve[] = [];
  for (const [kind, { name, unit, strengths, apply }] of DEGRADATIONS.entries()) {
    if (only?.includes(name) === false) continue;
    // A place in the image as it is would be another one in the turned patient.
    if (name === 'rotation' && question.kind === 'head' && question.look) continue;
    const points: Curve['points'][number][] = [asIs];
    for (const { at, label } of strengths) {
      const worse = async (id: string): Promise<Volume> =>
        apply(await volumeOf(id), at, new Random(seed, kind, place.get(id.split(':')[0]!)!));
      const doing = `${name} ${label}`;
      const asked = await encode(question, encoder, worse, { maxTokens, signal, label: doing });
      try {
        const { metrics, series } = judge(asked);
        points.push({ strength: at, label, metrics, series });
      } catch (error) {
        // What is left may be of one class, or nothing.
        if (!(error instanceof EvaluateError)) throw error;
        log(`evaluate: no score at ${doing}: ${error.message}`);
      }
    }
    out.push({ name, unit, points });
  }
  return out;
}
