/** Looking for what is broken or suspicious in a corpus, series by series. */
import { createHash } from 'node:crypto';
import { determinant } from '../volume/affine.js';
import type { Volume, VoxelArray } from '../volume/volume.js';
import type { Corpus } from './corpus.js';
import { CorpusError } from './error.js';
import type { Series } from './series.js';

/** A larger share of unmeasured voxels than this is worth a warning: 10 %. */
export const UNMEASURED_ABOVE = 0.1;
/** A larger share of the measured voxels than this at the largest value says that intensities were cut off there: 0.1 %. */
export const CLIPPED_ABOVE = 0.001;
/** No scanner steps further than this between voxels, in mm. */
export const SPACING_ABOVE_MM = 50;
/** The longest side of a voxel by the shortest: 0.25 mm in plane and 25 mm between slices is the extreme. */
export const ANISOTROPY_ABOVE = 100;

export interface Finding {
  readonly kind:
    | 'unreadable'
    | 'mismatch'
    | 'missing slices'
    | 'unmeasured'
    | 'non-finite'
    | 'clipped'
    | 'constant'
    | 'spacing'
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
  readonly findings: readonly Finding[];
}

export interface Checked {
  readonly series: SeriesCheck[];
  /** Series with a finding that is `broken`, and series with others only. */
  readonly broken: number;
  readonly warned: number;
  readonly interrupted: boolean;
}

export interface CheckOptions {
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops after the series at hand. */
  readonly signal?: AbortSignal;
}

/**
 * Reads every series whole, one at a time, and says what is wrong with each. Duplicates are series of equal shape,
 * voxel type and stored voxels; the same image stored along other axes is not recognised. Nothing is written.
 */
export async function checkCorpus(
  corpus: Pick<Corpus, 'list' | 'volume'>,
  { onProgress, signal }: CheckOptions = {},
): Promise<Checked> {
  const all = await corpus.list();
  const checks: SeriesCheck[] = [];
  const sameVoxels = new Map<string, Series[]>();
  for (const series of all) {
    if (signal?.aborted) break;
    const { check, digest } = await checkOne(corpus, series);
    checks.push(check);
    if (digest !== null) sameVoxels.set(digest, [...(sameVoxels.get(digest) ?? []), series]);
    onProgress?.(checks.length, all.length);
  }
  const duplicates = new Map<string, Finding>();
  for (const group of sameVoxels.values())
    if (group.length > 1) for (const one of group) duplicates.set(one.id, duplicateOf(one, group));
  const series = checks.map((check) => {
    const duplicate = duplicates.get(check.id);
    return duplicate === undefined ? check : { ...check, findings: [...check.findings, duplicate] };
  });
  const broken = series.filter(({ findings }) => findings.some((one) => one.broken)).length;
  const found = series.filter(({ findings }) => findings.length > 0).length;
  return { series, broken, warned: found - broken, interrupted: checks.length < all.length };
}

async function checkOne(
  corpus: Pick<Corpus, 'volume'>,
  series: Series,
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
    if (!(error instanceof CorpusError)) throw error;
    findings.unshift({ kind: 'unreadable', broken: true, message: error.message });
    const check = { ...slices, unmeasured: null, nonFinite: null, clipped: null, findings };
    return { check, digest: null };
  }
  const counts = count(volume);
  findings.push(...ofVoxels(series, volume, counts));
  const { voxels, measured, finite, atMaximum } = counts;
  const check = {
    ...slices,
    unmeasured: 1 - measured / voxels,
    nonFinite: measured - finite,
    clipped: finite === 0 ? 0 : atMaximum / finite,
    findings,
  };
  return { check, digest: digestOf(volume) };
}

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

function digestOf({ data, shape }: Volume): string {
  return createHash('sha256')
    .update(`${data.constructor.name} ${shape.join(' ')}\n`)
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest('hex');
}

function duplicateOf(series: Series, group: readonly Series[]): Finding {
  const others = group.filter(({ id }) => id !== series.id);
  const names = others.map(({ id, patientId }) =>
    patientId === series.patientId ? id : `${id} (another patient)`,
  );
  return warning('duplicate', `the same voxels as ${names.join(', ')}`);
}
