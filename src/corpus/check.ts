/** Looking for what is broken or suspicious in a corpus, series by series. */
import { determinant } from '../volume/affine.js';
import type { Volume, VoxelArray } from '../volume/volume.js';
import { type AuditFinding, readAudit } from './audit.js';
import { canonicalDigest } from './canonical.js';
import type { Corpus } from './corpus.js';
import { CorpusError, ServiceError } from './error.js';
import { readKey } from './pseudonym.js';
import { type Quality, qualityOf } from './quality.js';
import type { Series } from './series.js';
import { contentHash } from './store-series.js';

/** A larger share of unmeasured voxels than this is worth a warning: 10 %. */
export const UNMEASURED_ABOVE = 0.1;
/** A larger share of the measured voxels than this at the largest value says that intensities were cut off there: 0.1 %. */
export const CLIPPED_ABOVE = 0.001;
/** No scanner steps further than this between voxels, in mm. */
export const SPACING_ABOVE_MM = 50;
/** Rose's criterion: below a signal of 5 standard deviations of the noise, detail is not told from noise. */
export const LOW_SNR_BELOW = 5;
/**
 * Ghosts are told by comparison with series of the same body part, contrast and plane: at least so many of them, and
 * above their median by so many standard deviations (from the median deviation of the logarithm) and this factor.
 */
export const GHOSTS = { series: 8, deviations: 3, factor: 1.3 } as const;
/** The longest side of a voxel by the shortest: 0.25 mm in plane and 25 mm between slices is the extreme. */
export const ANISOTROPY_ABOVE = 100;

export interface Finding {
  readonly kind:
    | 'unreadable'
    | 'mismatch'
    | 'changed'
    | 'missing slices'
    | 'unmeasured'
    | 'non-finite'
    | 'clipped'
    | 'constant'
    | 'spacing'
    | 'low SNR'
    | 'motion'
    | 'duplicate';
  /** Whether the series cannot be used as it is stored; everything else is a warning. */
  readonly broken: boolean;
  readonly message: string;
}

export interface SeriesCheck {
  readonly id: string;
  readonly expectedSlices: number;
  readonly presentSlices: number;
  /** Share of all voxels that were not measured; null, as what follows, where voxels cannot be read. */
  readonly unmeasured: number | null;
  /** Measured voxels that are NaN or infinite. */
  readonly nonFinite: number | null;
  /** Share of the measured voxels that have the largest value. */
  readonly clipped: number | null;
  /** As `qualityOf` says; null too for parametric maps, whose values are no signal. */
  readonly snr: number | null;
  readonly motion: number | null;
  readonly findings: readonly Finding[];
}

export interface Checked {
  readonly series: SeriesCheck[];
  /** Series with a finding that is `broken`, and series with others only. */
  readonly broken: number;
  readonly warned: number;
  /** What is wrong with the audit log, and what a crash may have left of it. */
  readonly audit: readonly AuditFinding[];
  readonly interrupted: boolean;
}

export interface CheckOptions {
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops after the series at hand. */
  readonly signal?: AbortSignal;
}

type CheckedCorpus = Pick<Corpus, 'dir' | 'list' | 'volume'>;

/**
 * Reads every series whole, one at a time, and says what is wrong with each; then verifies the audit log. Duplicates
 * are series of equal values on equal grids, whichever way their arrays run. Nothing is written.
 */
export async function checkCorpus(
  corpus: CheckedCorpus,
  { onProgress, signal }: CheckOptions = {},
): Promise<Checked> {
  const all = await corpus.list();
  const key = await readKey(corpus.dir).catch((error: unknown) => {
    if (error instanceof CorpusError && !(error instanceof ServiceError)) return null;
    throw error;
  });
  const checks: SeriesCheck[] = [];
  const sameVoxels = new Map<string, Series[]>();
  for (const series of all) {
    if (signal?.aborted) break;
    const { check, digest } = await checkOne(corpus, series, key);
    checks.push(check);
    if (digest !== null) sameVoxels.set(digest, [...(sameVoxels.get(digest) ?? []), series]);
    onProgress?.(checks.length, all.length);
  }
  const duplicates = new Map<string, Finding>();
  for (const group of sameVoxels.values())
    if (group.length > 1) for (const one of group) duplicates.set(one.id, duplicateOf(one, group));
  const ghosts = ghostsAmong(all.slice(0, checks.length), checks);
  const series = checks.map((check) => {
    const more = [ghosts.get(check.id), duplicates.get(check.id)].filter((one) => one !== undefined);
    return { ...check, findings: [...check.findings, ...more] };
  });
  const broken = series.filter(({ findings }) => findings.some((one) => one.broken)).length;
  const found = series.filter(({ findings }) => findings.length > 0).length;
  const { findings: audit } = await readAudit(corpus.dir);
  return { series, broken, warned: found - broken, audit, interrupted: checks.length < all.length };
}

async function checkOne(
  corpus: CheckedCorpus,
  series: Series,
  key: Uint8Array | null,
): Promise<{ check: SeriesCheck; digest: string | null }> {
  const { id, missingSlices } = series;
  const expectedSlices = series.shape[2];
  const presentSlices = expectedSlices - missingSlices.length;
  const findings = ofRow(series);
  const slices = { id, expectedSlices, presentSlices };
  let volume: Volume;
  try {
    volume = await corpus.volume(id);
  } catch (error) {
    // A service that is away says nothing of the series.
    if (!(error instanceof CorpusError) || error instanceof ServiceError) throw error;
    findings.unshift({ kind: 'unreadable', broken: true, message: error.message });
    const none = { unmeasured: null, nonFinite: null, clipped: null, snr: null, motion: null };
    const check = { ...slices, ...none, findings };
    return { check, digest: null };
  }
  const counts = count(volume);
  findings.push(...ofVoxels(series, volume, counts));
  if (key !== null && series.contentHash !== '' && contentHash(volume, key) !== series.contentHash)
    findings.push({
      kind: 'changed',
      broken: true,
      message: 'the voxels are not those that were stored: their hash is another',
    });
  const quality: Quality = MAPS.has(series.contrast) ? { snr: null, motion: null } : qualityOf(volume);
  if (quality.snr !== null && quality.snr < LOW_SNR_BELOW)
    findings.push(
      warning(
        'low SNR',
        `the body is ${quality.snr.toFixed(1)} times as bright as the noise; below ${LOW_SNR_BELOW} detail is lost in it`,
      ),
    );
  const { voxels, measured, finite, atMaximum } = counts;
  const check = {
    ...slices,
    unmeasured: 1 - measured / voxels,
    nonFinite: measured - finite,
    clipped: finite === 0 ? 0 : atMaximum / finite,
    ...quality,
    findings,
  };
  return { check, digest: canonicalDigest(volume) };
}

/** Parametric maps: their values are no signal, and their air is no noise. */
const MAPS = new Set(['ADC']);

const warning = (kind: Finding['kind'], message: string): Finding => ({ kind, broken: false, message });
const percent = (share: number): string => `${(100 * share).toFixed(share < 0.01 ? 2 : 1)} %`;

/** What the row alone says. */
function ofRow({ shape, missingSlices, spacingMm, affine }: Series): Finding[] {
  const findings: Finding[] = [];
  if (missingSlices.length > 0)
    findings.push(
      warning(
        'missing slices',
        `${shape[2] - missingSlices.length} of ${shape[2]} slices are present; missing are ${missingSlices.join(' ')}`,
      ),
    );
  const [least, most] = [Math.min(...spacingMm), Math.max(...spacingMm)];
  const mm = `${spacingMm.map((side) => side.toPrecision(4)).join('×')} mm`;
  if (!(least > 0) || most > SPACING_ABOVE_MM)
    findings.push(warning('spacing', `voxels are above 0 and up to ${SPACING_ABOVE_MM} mm apart, got ${mm}`));
  else if (most / least > ANISOTROPY_ABOVE)
    findings.push(
      warning('spacing', `a voxel is at most ${ANISOTROPY_ABOVE} times as long as it is thin, got ${mm}`),
    );
  else if (!(Math.abs(determinant(affine)) > 1e-3 * spacingMm[0] * spacingMm[1] * spacingMm[2]))
    findings.push(warning('spacing', 'the axes of the image do not span space'));
  return findings;
}

interface Counts {
  readonly voxels: number;
  readonly measured: number;
  readonly finite: number;
  /** Smallest and largest stored value of the measured, finite voxels. */
  readonly least: number;
  readonly most: number;
  /** Voxels of the largest value in the units of the image. */
  readonly atMaximum: number;
}

function count({ data, valid, slope }: Volume): Counts {
  let [measured, finite, least, most, atLeast, atMost] = [0, 0, Infinity, -Infinity, 0, 0];
  for (let n = 0; n < data.length; n++) {
    if (valid !== null && valid[n] === 0) continue;
    measured++;
    const value = data[n]!;
    if (!Number.isFinite(value)) continue;
    finite++;
    if (value > most) [most, atMost] = [value, 0];
    if (value < least) [least, atLeast] = [value, 0];
    if (value === most) atMost++;
    if (value === least) atLeast++;
  }
  return { voxels: data.length, measured, finite, least, most, atMaximum: slope < 0 ? atLeast : atMost };
}

function ofVoxels(series: Series, volume: Volume, counts: Counts): Finding[] {
  const { voxels, measured, finite, least, most, atMaximum } = counts;
  const findings: Finding[] = [];
  if (
    String(volume.shape) !== String(series.shape) ||
    String(volume.affine.flat()) !== String(series.affine.flat())
  )
    findings.push({
      kind: 'mismatch',
      broken: true,
      message: `shape or position of the voxels (${volume.shape.join('×')}) is not that of the row (${series.shape.join('×')})`,
    });
  if (1 - measured / voxels > UNMEASURED_ABOVE)
    findings.push(warning('unmeasured', `${percent(1 - measured / voxels)} of the voxels were not measured`));
  if (finite < measured)
    findings.push(warning('non-finite', `${measured - finite} measured voxels are NaN or infinite`));
  if (finite > 0 && least === most)
    findings.push(warning('constant', 'all measured voxels have the same value'));
  else if (finite > 0 && atMaximum / finite > CLIPPED_ABOVE) {
    const limit = limitOf(volume.data);
    const where = most === limit ? `${limit}, the largest that the voxel type holds` : 'the largest value';
    findings.push(
      warning(
        'clipped',
        `${percent(atMaximum / finite)} of the measured voxels are at ${where}; up to ${percent(CLIPPED_ABOVE)} is usual`,
      ),
    );
  }
  return findings;
}

/** The largest value of an integer array's type; null for floats. */
function limitOf(data: VoxelArray): number | null {
  if (data instanceof Float32Array || data instanceof Float64Array) return null;
  const signed = data instanceof Int8Array || data instanceof Int16Array || data instanceof Int32Array;
  return 2 ** (8 * data.BYTES_PER_ELEMENT - (signed ? 1 : 0)) - 1;
}

/** id → finding, for series whose ghosts stand out among those of their kind. */
function ghostsAmong(all: readonly Series[], checks: readonly SeriesCheck[]): Map<string, Finding> {
  const kinds = new Map<string, { id: string; score: number }[]>();
  for (const [n, { bodyPart, contrast, plane }] of all.entries()) {
    const { id, motion } = checks[n]!;
    if (motion === null || !(motion > 0)) continue;
    const kind = `${bodyPart} ${contrast} ${plane}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), { id, score: Math.log(motion) }]);
  }
  const found = new Map<string, Finding>();
  for (const group of kinds.values()) {
    if (group.length < GHOSTS.series) continue;
    const middle = median(group.map(({ score }) => score));
    // 1.4826 makes a standard deviation of a median deviation, for a normal distribution.
    const deviation = 1.4826 * median(group.map(({ score }) => Math.abs(score - middle)));
    const limit = Math.max(GHOSTS.deviations * deviation, Math.log(GHOSTS.factor));
    for (const { id, score } of group)
      if (score - middle > limit)
        found.set(
          id,
          warning(
            'motion',
            `the air is ${Math.exp(score - middle).toFixed(1)} times as bright, for its noise, as in the other ` +
              `${group.length - 1} series of its kind: ghosts of motion or flow`,
          ),
        );
  }
  return found;
}

function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.floor(sorted.length / 2)]!;
}

function duplicateOf(series: Series, group: readonly Series[]): Finding {
  const others = group.filter(({ id }) => id !== series.id);
  const names = others.map(({ id, patientId }) =>
    patientId === series.patientId ? id : `${id} (another patient)`,
  );
  return warning('duplicate', `the same image as ${names.join(', ')}`);
}
