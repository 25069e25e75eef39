/** What the page of an evaluation shows of single cases, with their pictures. */
import type { Hit, Told } from '../evaluate/exhibits.js';
import type { SuiteResult } from '../evaluate/suites.js';
import type { Target } from '../tasks/classify/head.js';
import type { Encoder } from '../models/encoder.js';
import type { SlicePicture } from '../volume/slice.js';
import type { Volume } from '../volume/volume.js';
import type { Encoded, Question } from './evaluate-measure.js';

/** Together at most 80 pictures of 96 pixels: about half a megabyte of page. */
const WORST = 24;
const QUERIES = 8;
const HITS = 6;
const PIXELS = 96;
/** Points on the map; more take long to lay out and hide each other. */
const POINTS = 2000;

export interface Shown {
  readonly id: string;
  readonly picture: SlicePicture;
}

export interface Exhibits {
  readonly worst: readonly (Shown & {
    readonly truth: string;
    readonly decided: string;
    /** See Worst: a probability, an error or a rank. */
    readonly by: number;
    /** Series that were judged together. */
    readonly count: number;
  })[];
  readonly queries: readonly (Shown & {
    /** What was asked for: the class of the series, or its text. */
    readonly asked: string;
    readonly hits: readonly (Shown & Pick<Hit, 'score' | 'right'> & { readonly says: string })[];
  })[];
  /** Null where there are too few series for a map. */
  readonly map:
    | readonly {
        readonly x: number;
        readonly y: number;
        readonly kind: string;
        readonly right: boolean | null;
      }[]
    | null;
  /** What was asked of the series: a class, a quantity, …, what fits a text, or what is like an image. */
  readonly kind: Target['kind'] | 'texts' | 'images';
}

/**
 * Draws the worst cases, what is nearest to a few series drawn by `seed`, and the map. Only series of the question are
 * shown: those that may be evaluated.
 */
export async function exhibitsOf(
  question: Question,
  { judged }: SuiteResult,
  encoded: Encoded,
  encoder: Encoder,
  volumeOf: (id: string) => Promise<Volume>,
  seed: number,
): Promise<Exhibits> {
  const [{ drawCases, toldOf, worstCases }, { layOut }, { withPartner }] = await Promise.all([
    import('../evaluate/exhibits.js'),
    import('../evaluate/map.js'),
    import('../evaluate/retrieval-suites.js'),
  ]);
  const textOf = new Map(question.series.map(({ id, text }) => [id, text]));
  const cases = judged.kind === 'outcomes' ? toldOf(judged) : await kindsOf(question, encoded);
  const vectors = cases.map(({ id }) => encoded.get(id)!.summary);
  const kinds = cases.map(({ truth }) => truth);
  const kind =
    judged.kind === 'outcomes' ? judged.target.kind : question.kind === 'images' ? 'images' : 'texts';
  // Quantities have no kinds: any series is as good as another.
  const even = kind === 'number' ? kinds.map(() => '') : kinds;
  const truthOf = new Map(cases.map(({ id, truth }) => [id, truth]));
  const saying = (id: string): string => (kind === 'texts' ? textOf : truthOf).get(id)!;
  // Of images only those ask whose like another patient has, as in the suite's own scores.
  const asking =
    question.kind === 'images'
      ? withPartner(
          kinds,
          cases.map(({ patient }) => patient),
        )
      : cases.map((_, n) => n);
  const asked = drawCases(
    asking.map((n) => even[n]!),
    Math.min(QUERIES, asking.length),
    seed,
  ).map((at) => asking[at]!);
  const hits = await hitsOf(question, cases, vectors, encoder, asked);
  const draw = pictures(question, volumeOf);
  const queries: Exhibits['queries'][number][] = [];
  for (const { n, found } of hits) {
    const shown: Exhibits['queries'][number]['hits'][number][] = [];
    for (const hit of found) shown.push({ ...hit, picture: await draw(hit.id), says: saying(hit.id) });
    const { id } = cases[n]!;
    queries.push({ id, asked: saying(id), picture: await draw(id), hits: shown });
  }
  const worst: Exhibits['worst'][number][] = [];
  for (const { series, truth, decided, by } of worstCases(judged, WORST)) {
    const id = series[0]!;
    const asked = kind === 'texts' || kind === 'images' ? saying(id) : truth;
    worst.push({ id, picture: await draw(id), truth: asked, decided, by, count: series.length });
  }
  const drawn = drawCases(
    cases.map(() => ''),
    POINTS,
    seed,
  );
  const places = layOut(
    drawn.map((n) => vectors[n]!),
    seed,
  );
  const map =
    places?.map((place, at) => {
      const { truth, right } = cases[drawn[at]!]!;
      return { ...place, kind: truth, right };
    }) ?? null;
  return { worst, queries, map, kind };
}

/** For the map, of texts the body part of each series that was encoded, of images what they are alike by. */
async function kindsOf(question: Question, encoded: Encoded): Promise<Told[]> {
  const { likeness } = await import('../evaluate/retrieval-suites.js');
  const told = ({ id, patientId }: { id: string; patientId: string }, truth: string): Told => ({
    id,
    patient: patientId,
    truth,
    decided: '',
    right: null,
  });
  if (question.kind === 'texts')
    return question.series
      .filter(({ id }) => encoded.has(id))
      .map((one) => told(one, one.bodyPart.toLowerCase()));
  if (question.kind !== 'images') return [];
  return question.series
    .filter((one) => encoded.has(one.id) && likeness(one) !== null)
    .map((one) => told(one, likeness(one)!));
}

async function hitsOf(
  question: Question,
  cases: readonly Told[],
  vectors: readonly Float32Array[],
  encoder: Encoder,
  asked: readonly number[],
): Promise<{ n: number; found: Hit[] }[]> {
  const { found, nearest } = await import('../evaluate/exhibits.js');
  if (question.kind === 'head') return asked.map((n) => ({ n, found: nearest(cases, vectors, n, HITS) }));
  if (question.kind === 'images') {
    const kindOf = new Map(cases.map(({ id, truth }) => [id, truth]));
    return asked.map((n) => ({
      n,
      found: nearest(cases, vectors, n, HITS).map((hit) => ({
        ...hit,
        right: kindOf.get(hit.id) === cases[n]!.truth,
      })),
    }));
  }
  const textOf = new Map(question.series.map(({ id, text }) => [id, text]));
  const series = cases.map(({ id }) => ({ id, text: textOf.get(id)! }));
  const texts = asked.map((n) => series[n]!.text);
  const embedded = await encoder.embedTexts(texts);
  return asked.map((n, at) => ({
    n,
    found: found(series, vectors, { text: texts[at]!, vector: embedded[at]! }, HITS),
  }));
}

/** Draws each series once, in the plane of its slices; of several images the first. */
function pictures(
  question: Question,
  volumeOf: (id: string) => Promise<Volume>,
): (id: string) => Promise<SlicePicture> {
  const made = new Map<string, SlicePicture>();
  const channel = question.kind === 'head' && question.channels ? `:${question.channels[0]!}` : '';
  return async (id) => {
    const [{ drawSlice }, { Prepared }, { planeOf }] = await Promise.all([
      import('../volume/slice.js'),
      import('../volume/tokens.js'),
      import('../volume/orientation.js'),
    ]);
    const before = made.get(id);
    if (before) return before;
    const volume = await volumeOf(`${id}${channel}`);
    const plane = planeOf(volume.affine, volume.shape);
    const picture = drawSlice(new Prepared(volume), plane === 'oblique' ? 'axial' : plane, PIXELS);
    made.set(id, picture);
    return picture;
  };
}
