/** Suites that rank: texts for images, images for texts, and images for images. */
import type { Series } from '../corpus/series.js';
import { clausesOf, truePairs } from '../train/align.js';
import { EvaluateError } from './error.js';
import type { Measured } from './intervals.js';
import { KS, queryScores, type Direction, type Query } from './judged.js';
import { checkApart } from './leakage.js';
import { retrieval, type Retrieval } from './retrieval.js';
import type { Evaluated, SuiteOptions, SuiteResult } from './suites.js';
import { measureAll } from './task-scores.js';

/**
 * Text → image and image → text among all series of the corpus: recall at 1, 5 and 10 and mean average precision, beside
 * chance. A text fits every image of which everything that it says is true.
 * @param images, texts unit vectors of the series and of their texts.
 */
export function retrievalSuite(
  series: readonly Evaluated[],
  images: readonly Float32Array[],
  texts: readonly Float32Array[],
  options: SuiteOptions = {},
): SuiteResult {
  if (options.checkLeakage ?? true) checkApart(series, images);
  const words = series.map(({ text }) => text);
  const truth = truePairs(words, words.map(clausesOf));
  const fits = (i: number, t: number): boolean => truth[i * series.length + t] === 1;
  const found = {
    textToImage: retrieval(texts, images, (t, i) => fits(i, t), [...KS]),
    imageToText: retrieval(images, texts, (i, t) => fits(i, t), [...KS]),
  };
  return { suite: 'retrieval', ...measured(series, found, options), notes: [] };
}

/** What images are alike by: null where one of both is not known. */
export function likeness({ bodyPart, contrast }: Pick<Series, 'bodyPart' | 'contrast'>): string | null {
  const words = [bodyPart, contrast].map((word) => word.trim().toLowerCase());
  return words.some((word) => word === '' || word === 'unknown') ? null : words.join(' ');
}

/** Places of those whose like another patient has too: what they ask for can be found. */
export function withPartner(kinds: readonly string[], patients: readonly string[]): number[] {
  const patientsOf = new Map<string, Set<string>>();
  kinds.forEach((kind, n) => patientsOf.set(kind, (patientsOf.get(kind) ?? new Set()).add(patients[n]!)));
  return kinds.map((_, n) => n).filter((n) => patientsOf.get(kinds[n]!)!.size > 1);
}

/**
 * Image → image: each series asks for those of other patients. Right are those of the same body part and contrast, which
 * must be known of a series that takes part; series whose like no other patient has are found among, but do not ask.
 * @param images unit vectors of the series.
 * @throws EvaluateError when no series can ask.
 */
export function imageRetrievalSuite(
  series: readonly (Evaluated & Pick<Series, 'bodyPart' | 'contrast'>)[],
  images: readonly Float32Array[],
  options: SuiteOptions = {},
): SuiteResult {
  if (options.checkLeakage ?? true) checkApart(series, images);
  const known = series.map((_, n) => n).filter((n) => likeness(series[n]!) !== null);
  const of = known.map((n) => series[n]!);
  const kinds = of.map((one) => likeness(one)!);
  const asking = withPartner(
    kinds,
    of.map(({ patientId }) => patientId),
  );
  if (asking.length === 0)
    throw new EvaluateError(
      `evaluate image-retrieval: two patients must have series of the same body part and contrast, but none of ` +
        `${series.length} series has such a partner; ingest more`,
    );
  const vectors = known.map((n) => images[n]!);
  const other = (q: number, c: number): boolean => of[asking[q]!]!.patientId !== of[c]!.patientId;
  const imageToImage = retrieval(
    asking.map((n) => vectors[n]!),
    vectors,
    (q, c) => kinds[asking[q]!] === kinds[c],
    [...KS],
    other,
  );
  const left = series.length - known.length;
  const alone = of.length - asking.length;
  return {
    suite: 'image-retrieval',
    ...measured(
      asking.map((n) => of[n]!),
      { imageToImage },
      options,
    ),
    notes: [
      ...(left > 0 ? [`${left} series of unknown body part or contrast`] : []),
      ...(alone > 0 ? [`as queries ${alone} series whose body part and contrast one patient alone has`] : []),
    ],
  };
}

/** Recall and mean average precision in each direction with intervals over patients, chance beside them. */
function measured(
  series: readonly Evaluated[],
  found: Readonly<Partial<Record<Direction, Retrieval>>>,
  { seed = 0, rounds = 1000 }: SuiteOptions,
): Pick<SuiteResult, 'metrics' | 'series' | 'patients' | 'judged'> {
  const directions = Object.keys(found) as Direction[];
  const each = <T>(of: (one: Retrieval) => T): Partial<Record<Direction, T>> =>
    Object.fromEntries(directions.map((direction) => [direction, of(found[direction]!)]));
  const cases = series.map(({ id, patientId }, n): Query => ({
    patient: patientId,
    series: [id],
    ranks: each(({ ranks }) => ranks[n]!),
    precisions: each(({ averagePrecisions }) => averagePrecisions[n]!),
  }));
  const scores = measureAll(queryScores(cases), cases, { seed, rounds });
  const patients = new Set(series.map(({ patientId }) => patientId)).size;
  const exactly = (value: number): Measured => ({
    value,
    ci95: [value, value],
    n: patients,
    cases: series.length,
  });
  const metrics: Record<string, Measured> = {};
  for (const direction of directions) {
    for (const k of KS) {
      metrics[`${direction}.recall@${k}`] = scores[`${direction}.recall@${k}`]!;
      metrics[`${direction}.chance@${k}`] = exactly(found[direction]!.chance[k]!);
    }
    metrics[`${direction}.map`] = scores[`${direction}.map`]!;
    metrics[`${direction}.chanceMap`] = exactly(found[direction]!.chanceMap);
  }
  return { metrics, series: series.length, patients, judged: { kind: 'queries', cases } };
}
