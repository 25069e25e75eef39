/** Simulated people: what varies between patients and shapes every region. */
import type { Stream } from './random.js';

export type Side = 'left' | 'right';

export interface Traits {
  readonly sex: 'M' | 'F';
  /** Years. */
  readonly age: number;
  /** Linear size against the average adult, about 0.9 to 1.1. */
  readonly size: number;
  /** Body fat: 0 lean, 0.4 average, 1 obese. */
  readonly fat: number;
}

export interface Patient extends Traits {
  readonly id: string;
  /** DICOM person name, "Family^Given". */
  readonly name: string;
  /** DICOM date, YYYYMMDD. */
  readonly birthDate: string;
}

/** A finding that a report names and that the anatomy shows. */
export interface Finding {
  /** Short and comparable across patients, e.g. "left renal cyst". */
  readonly name: string;
  /** The structure that shows it, where it has one of its own: its name in the anatomy. */
  readonly structure?: string;
  readonly side?: Side;
  /** Ways in which a report says it. */
  readonly sentences: readonly string[];
}

/** x of a structure on that side: patient right is +x in RAS. */
export function sign(side: Side): 1 | -1 {
  return side === 'right' ? 1 : -1;
}

export function otherSide(side: Side): Side {
  return side === 'right' ? 'left' : 'right';
}

/** Draws a person; year of the examination is 2024, so that ages and birth dates agree. */
export function drawPatient(seed: number, index: number, stream: Stream): Patient {
  const sex = stream.chance(0.5) ? 'M' : 'F';
  const age = Math.round(stream.uniform(20, 88));
  const size = stream.vary(sex === 'M' ? 1.02 : 0.965, 0.025);
  const fat = Math.min(1, Math.max(0.05, stream.vary(0.4, 0.22)));
  const month = String(1 + stream.int(12)).padStart(2, '0');
  const day = String(1 + stream.int(28)).padStart(2, '0');
  const number = String(index).padStart(5, '0');
  return {
    id: `SIM-${seed}-${number}`,
    name: `Simulated^Patient${number}`,
    birthDate: `${2024 - age}${month}${day}`,
    sex,
    age,
    size,
    fat,
  };
}
