/**
 * Signal equations: what a voxel of one tissue gives under one pulse sequence. All times in ms, flip in degrees.
 * Formulas: Bernstein, King, Zhou, "Handbook of MRI Pulse Sequences" (2004), chapters 14 and 16; balanced
 * steady state: Scheffler and Lehnhardt, Eur Radiol 2003;13:2409; diffusion: Stejskal and Tanner 1965.
 */
import { FAT, type Tissue } from './tissue.js';

interface Common {
  /** Share of the fat signal that is left by fat suppression: 1 none, about 0.05 when suppressed. */
  readonly fatLeft?: number;
  /** 1 for an examination after contrast agent, 0 before: multiplies each tissue's uptake. */
  readonly contrastAgent?: number;
}

export type Sequence = Common &
  (
    | { readonly kind: 'spin echo' | 'turbo spin echo'; readonly tr: number; readonly te: number }
    | { readonly kind: 'inversion recovery'; readonly tr: number; readonly te: number; readonly ti: number }
    | {
        readonly kind: 'gradient echo';
        readonly tr: number;
        readonly te: number;
        readonly flip: number;
        /** Echo time at which fat and water point in opposite directions. */
        readonly opposedPhase?: boolean;
      }
    | {
        readonly kind: 'prepared gradient echo';
        readonly tr: number;
        readonly te: number;
        readonly ti: number;
        readonly flip: number;
      }
    | { readonly kind: 'balanced'; readonly tr: number; readonly te: number; readonly flip: number }
    | { readonly kind: 'diffusion'; readonly tr: number; readonly te: number; readonly b: number }
  );

/** Relaxivities of gadolinium chelates in 1/(s·mmol/l): Rohrer et al., Invest Radiol 2005;40:715 (gadobutrol). */
const R1_GADOLINIUM = 5.0;
const R2_GADOLINIUM = 6.5;

/** Spin echo: (1 - e^(-TR/T1)) e^(-TE/T2), for TE much shorter than TR. */
export function spinEcho(t1: number, t2: number, tr: number, te: number): number {
  return (1 - Math.exp(-tr / t1)) * Math.exp(-te / t2);
}

/** Inversion recovery with spin-echo readout: (1 - 2 e^(-TI/T1) + e^(-TR/T1)) e^(-TE/T2); negative before the null. */
export function inversionRecovery(t1: number, t2: number, tr: number, te: number, ti: number): number {
  return (1 - 2 * Math.exp(-ti / t1) + Math.exp(-tr / t1)) * Math.exp(-te / t2);
}

/** The inversion time at which a tissue gives nothing: T1 (ln 2 - ln(1 + e^(-TR/T1))). */
export function nullingTime(t1: number, tr: number): number {
  return t1 * (Math.LN2 - Math.log1p(Math.exp(-tr / t1)));
}

/** Spoiled gradient echo: sin a (1 - E1) / (1 - cos a E1) e^(-TE/T2*), largest at cos a = E1 (Ernst). */
export function spoiledGradientEcho(
  t1: number,
  t2Star: number,
  tr: number,
  te: number,
  flip: number,
): number {
  const a = (flip * Math.PI) / 180;
  const e1 = Math.exp(-tr / t1);
  return ((Math.sin(a) * (1 - e1)) / (1 - Math.cos(a) * e1)) * Math.exp(-te / t2Star);
}

/** Balanced steady state on resonance: sin a (1-E1) / (1 - (E1-E2) cos a - E1 E2) e^(-TE/T2). */
export function balanced(t1: number, t2: number, tr: number, te: number, flip: number): number {
  const a = (flip * Math.PI) / 180;
  const e1 = Math.exp(-tr / t1);
  const e2 = Math.exp(-tr / t2);
  return ((Math.sin(a) * (1 - e1)) / (1 - (e1 - e2) * Math.cos(a) - e1 * e2)) * Math.exp(-te / t2);
}

/** Signal left by diffusion: e^(-b ADC), b in s/mm², ADC in 1e-3 mm²/s. */
export function diffusionDecay(b: number, adc: number): number {
  return Math.exp(-b * adc * 1e-3);
}

interface Pool {
  t1: number;
  t2: number;
  r2p: number;
  adc: number;
}

function poolSignal(pool: Pool, s: Sequence): number {
  const t2Star = 1000 / (1000 / pool.t2 + pool.r2p);
  switch (s.kind) {
    case 'spin echo':
    case 'turbo spin echo':
      return spinEcho(pool.t1, pool.t2, s.tr, s.te);
    case 'inversion recovery':
      return inversionRecovery(pool.t1, pool.t2, s.tr, s.te, s.ti);
    case 'gradient echo':
      return spoiledGradientEcho(pool.t1, t2Star, s.tr, s.te, s.flip);
    case 'prepared gradient echo': {
      // The low-flip readout samples the recovering magnetisation at TI; T2* decays it until TE.
      const mz = inversionRecovery(pool.t1, Infinity, s.tr, 0, s.ti);
      return mz * Math.sin((s.flip * Math.PI) / 180) * Math.exp(-s.te / t2Star);
    }
    case 'balanced':
      return balanced(pool.t1, pool.t2, s.tr, s.te, s.flip);
    case 'diffusion':
      return spinEcho(pool.t1, pool.t2, s.tr, s.te) * diffusionDecay(s.b, pool.adc);
  }
}

/**
 * Signal of a tissue, relative to one fully relaxed proton pool of density 1. Negative where an inverted pool has
 * not yet crossed zero: the sum over a voxel is taken first, the magnitude after. Water and fat of the tissue are
 * two pools. `tesla` below 2.2 takes the values of 1.5 T, else those of 3 T.
 */
export function signal(tissue: Tissue, sequence: Sequence, tesla: number): number {
  if (tissue.pd === 0) return 0;
  const field = tesla < 2.2 ? 0 : 1;
  const spin = sequence.kind !== 'gradient echo' && sequence.kind !== 'prepared gradient echo';
  let flow = 1;
  let t1 = tissue.t1[field];
  let t2 = tissue.t2[field];
  if (sequence.contrastAgent) {
    const mmol = tissue.uptake * sequence.contrastAgent;
    t1 = 1000 / (1000 / t1 + R1_GADOLINIUM * mmol);
    t2 = 1000 / (1000 / t2 + R2_GADOLINIUM * mmol);
  }
  if (tissue.flow > 0) {
    // Spins that leave miss the refocusing pulse (dark); spins that enter a gradient echo are unsaturated (bright).
    if (!spin) t1 /= 1 + 3 * tissue.flow;
    else if (sequence.kind !== 'balanced') flow = 1 - tissue.flow;
  }
  const r2p = (tissue.r2p * tesla) / 1.5;
  const water = poolSignal({ t1, t2, r2p, adc: tissue.adc }, sequence);
  if (tissue.fat === 0) return tissue.pd * flow * water;
  const train = sequence.kind === 'turbo spin echo' || sequence.kind === 'inversion recovery';
  const fatT2 = train ? FAT.t2Train[field] : FAT.t2[field];
  let fat = poolSignal({ t1: FAT.t1[field], t2: fatT2, r2p, adc: FAT.adc }, sequence);
  fat *= sequence.fatLeft ?? 1;
  if (sequence.kind === 'gradient echo' && sequence.opposedPhase) fat = -fat;
  return tissue.pd * flow * ((1 - tissue.fat) * water + tissue.fat * fat);
}
