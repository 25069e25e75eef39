/** What a body region provides: an anatomy for a person, and what a report can say of it. */
import type { Vec3 } from '../../volume/volume.js';
import type { Anatomy } from '../anatomy.js';
import type { Finding, Side, Traits } from '../patient.js';
import type { Protocol } from '../protocol.js';
import type { Stream } from '../random.js';

export interface Scene {
  readonly anatomy: Anatomy;
  /** DICOM Body Part Examined (PS3.16 Annex L). */
  readonly bodyPart: string;
  /** As a sentence says it: "brain", "left knee". */
  readonly bodyPartName: string;
  readonly laterality?: Side;
  readonly findings: readonly Finding[];
  /** Sentences on what is normal here; none contradicts a finding. */
  readonly normal: readonly string[];
  /** Where stacks are centred, RAS mm. */
  readonly centre: Vec3;
  /** The series that departments take of this examination, most usual first. */
  readonly protocols: readonly Protocol[];
}

export type RegionBuilder = (traits: Traits, stream: Stream) => Scene;

/** A length as reports give it: "7 mm", "2.4 cm". */
export function sizeText(mm: number): string {
  return mm < 20 ? `${Math.round(mm)} mm` : `${(mm / 10).toFixed(1)} cm`;
}

/**
 * Names of findings by their odds: each is drawn on its own, in random order, at most `most` of them. Where none is
 * drawn, one is more often than not, so that about a fifth of the examinations are normal.
 */
export function drawFindings<T extends string>(
  stream: Stream,
  odds: Readonly<Record<T, number>>,
  most: number,
): Set<T> {
  const out = new Set<T>();
  const names = stream.shuffle(Object.keys(odds) as T[]);
  for (const name of names) if (out.size < most && stream.chance(odds[name])) out.add(name);
  if (out.size === 0 && stream.chance(0.5)) {
    const total = names.reduce((sum, name) => sum + odds[name], 0);
    let at = stream.uniform(0, total);
    const one = names.find((name) => (at -= odds[name]) < 0);
    if (one !== undefined && total > 0.4) out.add(one);
  }
  return out;
}
