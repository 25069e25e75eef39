/** Signal equations against Bloch's equations stepped in time, against closed forms and published facts. */
import { describe, expect, it } from 'vitest';
import {
  balanced,
  diffusionDecay,
  inversionRecovery,
  nullingTime,
  signal,
  spinEcho,
  spoiledGradientEcho,
} from '../../src/simulate/signal.js';
import { FAT, type Tissue, type TissueName, TISSUES } from '../../src/simulate/tissue.js';

/** Magnetisation along x, y, z after a rotation by `degrees` about x. */
function tip([x, y, z]: [number, number, number], degrees: number): [number, number, number] {
  const a = (degrees * Math.PI) / 180;
  return [x, y * Math.cos(a) + z * Math.sin(a), -y * Math.sin(a) + z * Math.cos(a)];
}

function relax(
  [x, y, z]: [number, number, number],
  ms: number,
  t1: number,
  t2: number,
): [number, number, number] {
  const [e1, e2] = [Math.exp(-ms / t1), Math.exp(-ms / t2)];
  return [x * e2, y * e2, 1 + (z - 1) * e1];
}

describe('steady states, by stepping the Bloch equations until nothing changes', () => {
  it.each([
    [900, 40, 150, 4, 70],
    [300, 60, 4, 1.5, 10],
    [4000, 500, 600, 20, 20],
  ])('spoiled gradient echo: T1 %d, T2* %d, TR %d, TE %d, flip %d', (t1, t2, tr, te, flip) => {
    let m: [number, number, number] = [0, 0, 1];
    let echo = 0;
    for (let n = 0; n < 4000; n++) {
      m = tip(m, flip);
      const [x, y] = relax(m, te, t1, t2);
      echo = Math.hypot(x, y);
      m = relax(m, tr, t1, t2);
      m = [0, 0, m[2]];
    }
    expect(spoiledGradientEcho(t1, t2, tr, te, flip)).toBeCloseTo(echo, 6);
  });

  it.each([
    [1000, 100, 4, 2, 55],
    [300, 70, 3.6, 1.8, 60],
    [4000, 2000, 4.4, 2.2, 50],
  ])('balanced steady state: T1 %d, T2 %d, TR %d, TE %d, flip %d', (t1, t2, tr, te, flip) => {
    let m: [number, number, number] = [0, 0, 1];
    let echo = 0;
    for (let n = 0; n < 20000; n++) {
      m = tip(m, n % 2 === 0 ? flip : -flip);
      const [x, y] = relax(m, te, t1, t2);
      echo = Math.hypot(x, y);
      m = relax(m, tr, t1, t2);
    }
    expect(balanced(t1, t2, tr, te, flip)).toBeCloseTo(echo, 5);
  });

  it('inversion recovery with long echo trains: 180, wait TI, 90, wait for the rest of TR', () => {
    const [t1, t2, tr, te, ti] = [1200, 90, 5000, 60, 700];
    let z = 1;
    let echo = 0;
    for (let n = 0; n < 50; n++) {
      z = 1 + (-z - 1) * Math.exp(-ti / t1);
      echo = z * Math.exp(-te / t2);
      z = 1 - Math.exp(-(tr - ti) / t1);
    }
    expect(inversionRecovery(t1, t2, tr, te, ti)).toBeCloseTo(echo, 9);
  });
});

describe('closed forms', () => {
  it('spin echoes at two echo times are in the ratio e^(-dTE/T2)', () => {
    const ratio = spinEcho(800, 80, 3000, 100) / spinEcho(800, 80, 3000, 20);
    expect(ratio).toBeCloseTo(Math.exp(-1), 12);
  });

  it('a spin echo with TR = T1 ln 2 has half of the full signal', () => {
    expect(spinEcho(1000, 1e9, 1000 * Math.LN2, 0)).toBeCloseTo(0.5, 9);
  });

  it('the gradient echo is largest at the Ernst angle', () => {
    const ernst = (Math.acos(Math.exp(-20 / 900)) * 180) / Math.PI;
    const at = (flip: number): number => spoiledGradientEcho(900, 50, 20, 5, flip);
    expect(at(ernst)).toBeGreaterThan(at(ernst - 0.5));
    expect(at(ernst)).toBeGreaterThan(at(ernst + 0.5));
  });

  it('the balanced steady state for short TR tends to sin a / (1 + cos a + (1 - cos a) T1/T2)', () => {
    const a = (60 * Math.PI) / 180;
    const limit = Math.sin(a) / (1 + Math.cos(a) + (1 - Math.cos(a)) * (1000 / 100));
    expect(balanced(1000, 100, 0.001, 0, 60)).toBeCloseTo(limit, 5);
  });

  it('a long TR nulls at T1 ln 2', () => {
    expect(nullingTime(1000, 1e6)).toBeCloseTo(1000 * Math.LN2, 6);
    expect(inversionRecovery(1500, 80, 4000, 30, nullingTime(1500, 4000))).toBeCloseTo(0, 12);
  });

  it('FLAIR times of clinical protocols null fluid: TR 9000, TI about 2400 ms at 3 T', () => {
    expect(nullingTime(TISSUES.csf.t1[1], 9000)).toBeGreaterThan(2300);
    expect(nullingTime(TISSUES.csf.t1[1], 9000)).toBeLessThan(2600);
  });

  it('diffusion weighting of b = 1000 s/mm² leaves 1/e at an ADC of 1e-3 mm²/s', () => {
    expect(diffusionDecay(1000, 1)).toBeCloseTo(Math.exp(-1), 12);
  });
});

describe('contrasts of tissues', () => {
  const of = (name: TissueName, sequence: Parameters<typeof signal>[1], tesla = 3): number =>
    Math.abs(signal(TISSUES[name], sequence, tesla));

  it.each([1.5, 3])('of the brain at %d T', (tesla) => {
    const t1 = { kind: 'spin echo', tr: 550, te: 10 } as const;
    const t2 = { kind: 'turbo spin echo', tr: 4500, te: 100 } as const;
    const ti = nullingTime(TISSUES.csf.t1[tesla < 2 ? 0 : 1], 9000);
    const flair = { kind: 'inversion recovery', tr: 9000, te: 110, ti } as const;
    expect(of('white matter', t1, tesla)).toBeGreaterThan(1.1 * of('grey matter', t1, tesla));
    expect(of('grey matter', t1, tesla)).toBeGreaterThan(1.8 * of('csf', t1, tesla));
    expect(of('csf', t2, tesla)).toBeGreaterThan(1.5 * of('grey matter', t2, tesla));
    expect(of('grey matter', t2, tesla)).toBeGreaterThan(1.2 * of('white matter', t2, tesla));
    expect(of('csf', flair, tesla)).toBeLessThan(0.02 * of('white matter', flair, tesla));
    expect(of('white matter lesion', flair, tesla)).toBeGreaterThan(1.5 * of('white matter', flair, tesla));
  });

  it('of fat: bright on T1 and on T2 echo trains, dark after suppression and on STIR', () => {
    const t1 = { kind: 'turbo spin echo', tr: 600, te: 10 } as const;
    const t2 = { kind: 'turbo spin echo', tr: 4500, te: 100 } as const;
    const stir = { kind: 'inversion recovery', tr: 4500, te: 40, ti: nullingTime(FAT.t1[1], 4500) } as const;
    expect(of('fat', t1)).toBeGreaterThan(2 * of('muscle', t1));
    expect(of('fat', t2)).toBeGreaterThan(3 * of('muscle', t2));
    expect(of('fat', { ...t1, fatLeft: 0.05 })).toBeLessThan(0.5 * of('muscle', t1));
    expect(of('fat', stir)).toBeLessThan(0.1 * of('muscle', stir));
  });

  it('of infarct: bright on diffusion images, low ADC; simple fluid the other way round', () => {
    const dwi = { kind: 'diffusion', tr: 6000, te: 80, b: 1000 } as const;
    expect(of('infarct', dwi)).toBeGreaterThan(1.5 * of('white matter', dwi));
    expect(of('csf', dwi)).toBeLessThan(0.5 * of('white matter', dwi));
  });

  it('of flowing blood: dark on spin echo, bright on gradient echo', () => {
    expect(of('blood', { kind: 'turbo spin echo', tr: 4000, te: 80 })).toBeLessThan(0.05);
    const gradient = { kind: 'gradient echo', tr: 4, te: 1.5, flip: 10 } as const;
    expect(of('blood', gradient)).toBeGreaterThan(1.5 * of('muscle', gradient));
  });

  it('of enhancing tissue: brighter on T1 after the agent, others nearly the same', () => {
    const before = { kind: 'spin echo', tr: 550, te: 10 } as const;
    const after = { ...before, contrastAgent: 1 };
    expect(of('meningioma', after)).toBeGreaterThan(1.5 * of('meningioma', before));
    expect(of('white matter', after)).toBeLessThan(1.1 * of('white matter', before));
  });

  it('in opposed phase is the difference of water and fat, in phase their sum', () => {
    const half: Tissue = {
      ...TISSUES.liver,
      fat: 0.5,
      r2p: 0,
      t1: [FAT.t1[0], FAT.t1[1]],
      t2: [FAT.t2[0], FAT.t2[1]],
    };
    const inPhase = { kind: 'gradient echo', tr: 150, te: 2.3, flip: 70 } as const;
    expect(signal(half, { ...inPhase, opposedPhase: true }, 3)).toBeCloseTo(0, 12);
    expect(signal(half, inPhase, 3)).toBeCloseTo(half.pd * spoiledGradientEcho(371, 68, 150, 2.3, 70), 12);
  });
});
