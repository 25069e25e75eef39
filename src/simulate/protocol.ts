/** Series that departments take: what is drawn for each, and the timing that goes with it. */
import type { Plane } from './acquire.js';
import type { Stream } from './random.js';
import { nullingTime, type Sequence } from './signal.js';
import { FAT, TISSUES } from './tissue.js';

/** Named as the corpus names them. */
export type Contrast = 'T1w' | 'T1w+C' | 'T2w' | 'PDw' | 'FLAIR' | 'STIR' | 'T2*w' | 'bSSFP' | 'DWI' | 'ADC';

/** Kind of pulse sequence, as departments speak of it. */
export type Technique =
  | 'se'
  | 'tse'
  | 'single-shot'
  | 'tirm'
  | 'flair'
  | 'mprage'
  | 'flash'
  | 'vibe'
  | 'dixon-in'
  | 'dixon-opposed'
  | 'trufi'
  | 'medic'
  | 'epi';

export interface Protocol {
  readonly contrast: Contrast;
  readonly technique: Technique;
  /** Planes in which it is taken; one named twice is taken twice as often. */
  readonly planes: readonly Plane[];
  /** In-plane field of view in mm, [least, most]. */
  readonly fov: readonly [number, number];
  /** Slice thickness in mm, [least, most]. */
  readonly thickness: readonly [number, number];
  /** Length that the stack covers, mm. */
  readonly cover: number;
  readonly fatSat?: boolean;
  /** b-value in s/mm². */
  readonly b?: number;
  /** How often it is chosen, against 1. */
  readonly weight?: number;
  /** Received by a coil under the back. */
  readonly backCoil?: boolean;
}

export function hasAgent(protocol: Protocol): boolean {
  return protocol.contrast === 'T1w+C';
}

/** What is written into the header. Times in ms, flip in degrees. */
export interface Timing {
  readonly repetitionTime: number;
  readonly echoTime: number;
  readonly inversionTime?: number;
  readonly flipAngle: number;
}

/** Fat that suppression leaves: never all of it goes. */
const FAT_LEFT = 0.05;

/**
 * Draws timing in the range that departments use at this field, and the signal model that goes with it. Nulling
 * inversion times follow from the tissue table, so that fluid (FLAIR) and fat (STIR) really are dark.
 */
export function drawTiming(p: Protocol, tesla: number, s: Stream): { sequence: Sequence; timing: Timing } {
  const high = tesla > 2.2;
  const field = high ? 1 : 0;
  const common = {
    fatLeft: p.fatSat ? FAT_LEFT : 1,
    contrastAgent: hasAgent(p) ? s.uniform(0.8, 1.1) : 0,
  };
  const whole = (low: number, most: number): number => Math.round(s.uniform(low, most));
  const tenth = (low: number, most: number): number => Math.round(s.uniform(low, most) * 10) / 10;
  const spin = (
    kind: 'spin echo' | 'turbo spin echo',
    tr: number,
    te: number,
    flip = 90,
  ): { sequence: Sequence; timing: Timing } => ({
    sequence: { kind, tr, te, ...common },
    timing: { repetitionTime: tr, echoTime: te, flipAngle: flip },
  });
  const gradient = (
    tr: number,
    te: number,
    flip: number,
    opposedPhase = false,
  ): { sequence: Sequence; timing: Timing } => ({
    sequence: { kind: 'gradient echo', tr, te, flip, opposedPhase, ...common },
    timing: { repetitionTime: tr, echoTime: te, flipAngle: flip },
  });
  switch (p.technique) {
    case 'se':
      return spin('spin echo', whole(high ? 550 : 430, high ? 750 : 620), tenth(8, 14));
    case 'tse': {
      const flip = whole(high ? 120 : 140, 180);
      if (p.contrast === 'PDw') return spin('turbo spin echo', whole(2200, 3800), whole(25, 42), flip);
      if (p.contrast === 'T2w') return spin('turbo spin echo', whole(3200, 6200), whole(80, 112), flip);
      return spin('turbo spin echo', whole(high ? 580 : 480, high ? 800 : 680), tenth(8.5, 13), flip);
    }
    case 'single-shot': {
      // One excitation a slice: the spins are at rest before it, whatever the time between slices.
      const te = whole(78, 100);
      const sequence: Sequence = { kind: 'turbo spin echo', tr: 20_000, te, ...common };
      return {
        sequence,
        timing: { repetitionTime: whole(900, 1600), echoTime: te, flipAngle: whole(120, 160) },
      };
    }
    case 'tirm':
    case 'flair': {
      const tr = p.technique === 'flair' ? whole(8000, 9600) : whole(3600, 5600);
      const te = p.technique === 'flair' ? whole(86, 128) : whole(34, 62);
      const t1 = p.technique === 'flair' ? TISSUES.csf.t1[field] : FAT.t1[field];
      const ti = Math.round(nullingTime(t1, tr) * s.uniform(0.985, 1.015));
      const sequence: Sequence = { kind: 'inversion recovery', tr, te, ti, ...common };
      return {
        sequence,
        timing: { repetitionTime: tr, echoTime: te, inversionTime: ti, flipAngle: whole(120, 180) },
      };
    }
    case 'mprage': {
      const [tr, te, ti, flip] = [whole(1800, 2400), tenth(2.2, 3.6), whole(850, 1050), whole(7, 10)];
      return {
        sequence: { kind: 'prepared gradient echo', tr, te, ti, flip, ...common },
        timing: { repetitionTime: tr, echoTime: te, inversionTime: ti, flipAngle: flip },
      };
    }
    case 'flash':
      return gradient(whole(500, 800), whole(18, 26), whole(16, 24));
    case 'medic':
      return gradient(whole(600, 900), whole(14, 19), whole(26, 34));
    case 'vibe':
      return gradient(tenth(3.4, 5), tenth(1.2, 2.1), whole(9, 13));
    case 'dixon-in':
      return gradient(whole(120, 190), high ? 2.3 : 4.6, whole(62, 76));
    case 'dixon-opposed':
      return gradient(whole(120, 190), high ? 1.15 : 2.3, whole(62, 76), true);
    case 'trufi': {
      const [tr, flip] = [tenth(3.3, 4.6), whole(48, 66)];
      const te = Math.round(tr * 5) / 10;
      return {
        sequence: { kind: 'balanced', tr, te, flip, ...common },
        timing: { repetitionTime: tr, echoTime: te, flipAngle: flip },
      };
    }
    case 'epi': {
      const [tr, te] = [whole(4200, 7600), whole(62, 88)];
      return {
        sequence: { kind: 'diffusion', tr, te, b: p.b ?? 800, ...common },
        timing: { repetitionTime: tr, echoTime: te, flipAngle: 90 },
      };
    }
  }
}
