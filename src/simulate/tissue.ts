/**
 * Magnetic properties of tissues at 1.5 T and 3 T.
 *
 * Sources, by the letter in each row:
 *  B  de Bazelaire et al., Radiology 2004;230:652 (abdomen and pelvis, T1 and T2 at 1.5 T and 3 T)
 *  S  Stanisz et al., Magn Reson Med 2005;54:507 (brain, cord, muscle, heart, cartilage, blood)
 *  G  Gold et al., AJR 2004;183:343 (knee: cartilage, synovial fluid, marrow, fat)
 *  R  Rooney et al., Magn Reson Med 2007;57:308 (CSF and brain T1 against field strength)
 *  K  Kwan, Evans, Pike, IEEE Trans Med Imaging 1999;18:1085 (proton densities and lesion of the BrainWeb phantom)
 *  J  Jafar, Parsai, Miquel, World J Radiol 2016;8:21 (median ADC of body organs over 115 studies)
 *  H  Helenius et al., AJNR 2002;23:194 (ADC of brain)
 *  E  no single published value: an estimate inside the range that textbooks and reviews give
 *     (Bojorquez et al., Magn Reson Imaging 2017;35:69 lists the spread at 3 T)
 */

export interface Tissue {
  /** Longitudinal relaxation time of its water in ms at [1.5 T, 3 T]. */
  readonly t1: readonly [number, number];
  /** Transverse relaxation time of its water in ms at [1.5 T, 3 T]. */
  readonly t2: readonly [number, number];
  /** Reversible dephasing rate R2' at 1.5 T in 1/s: 1/T2* = 1/T2 + R2'; grows in proportion to field strength. */
  readonly r2p: number;
  /** Proton density relative to water, 0 to 1 (fat and water protons together). */
  readonly pd: number;
  /** Apparent diffusion coefficient of its water in 1e-3 mm²/s. */
  readonly adc: number;
  /** Share of the signal-giving protons that are in fat, 0 to 1. */
  readonly fat: number;
  /** Share of its spins that leave the slice between pulses, 0 to 1: dark in spin echo, bright in gradient echo. */
  readonly flow: number;
  /** Gadolinium concentration in mmol/l some minutes after a standard dose. */
  readonly uptake: number;
  /** Standard deviation of the natural mottle, relative to the signal. */
  readonly mottle: number;
}

/** Fat protons: T1 from G, T2 of a plain spin echo from B; echo trains see the longer `t2Train` (G). */
export const FAT = { t1: [288, 371], t2: [58, 68], t2Train: [165, 133], adc: 0.05 } as const;

function tissue(
  t1: readonly [number, number],
  t2: readonly [number, number],
  pd: number,
  adc: number,
  rest: Partial<Tissue> = {},
): Tissue {
  return { t1, t2, pd, adc, r2p: 4, fat: 0, flow: 0, uptake: 0.05, mottle: 0.04, ...rest };
}

export const TISSUES = {
  air: tissue([1000, 1000], [1, 1], 0, 0, { mottle: 0, uptake: 0 }),
  // Lung is mostly air: its few protons dephase within 2 ms (E).
  lung: tissue([1200, 1300], [60, 50], 0.18, 1.5, { r2p: 500, mottle: 0.25, uptake: 0.3 }),
  // Bone and tendon have protons, but with T2 of about 1 ms or less; what is left is partial volume (E).
  'cortical bone': tissue([220, 240], [1.5, 1.2], 0.15, 0.1, { r2p: 100, mottle: 0 }),
  tendon: tissue([500, 600], [6, 5], 0.6, 0.3, { mottle: 0.02 }),
  ligament: tissue([550, 650], [9, 8], 0.62, 0.5, { mottle: 0.05 }),
  meniscus: tissue([700, 850], [11, 9], 0.65, 0.6, { mottle: 0.03 }),
  skin: tissue([800, 900], [30, 26], 0.75, 1.0, { uptake: 0.15 }), // E
  fat: tissue([900, 1000], [50, 45], 0.95, 0.8, { fat: 0.94, r2p: 10, mottle: 0.05, uptake: 0.02 }), // B
  muscle: tissue([1008, 1412], [40, 38], 0.8, 1.45, { mottle: 0.07, uptake: 0.06 }), // S; T2 between G and S
  'yellow marrow': tissue([800, 900], [50, 45], 0.8, 0.6, { fat: 0.82, r2p: 35, mottle: 0.05 }), // G
  'red marrow': tissue([800, 950], [49, 49], 0.7, 0.45, { fat: 0.45, r2p: 50, mottle: 0.07, uptake: 0.12 }), // B
  csf: tissue([4070, 4300], [2000, 1800], 1, 3.0, { mottle: 0.01, uptake: 0 }), // R, H
  'grey matter': tissue([1124, 1500], [95, 95], 0.84, 0.83, { mottle: 0.025, uptake: 0.03 }), // S, K, H
  'white matter': tissue([700, 900], [72, 70], 0.73, 0.7, { mottle: 0.02, uptake: 0.02 }), // S, R, K, H
  'deep grey': tissue([1000, 1350], [82, 75], 0.82, 0.75, { r2p: 7, mottle: 0.02 }), // R, H
  pallidum: tissue([780, 1050], [66, 55], 0.77, 0.72, { r2p: 14, mottle: 0.02 }), // R
  cord: tissue([745, 993], [76, 78], 0.75, 0.9, { mottle: 0.03 }), // S
  nerve: tissue([815, 1083], [77, 78], 0.75, 1.1, { mottle: 0.03 }), // S (optic nerve)
  'vitreous humour': tissue([3700, 4000], [1500, 1300], 1, 2.9, { mottle: 0, uptake: 0 }), // E
  lens: tissue([1000, 1200], [28, 25], 0.6, 1.0, { mottle: 0 }), // E
  pituitary: tissue([1000, 1300], [85, 80], 0.85, 1.0, { uptake: 0.9 }), // E
  mucosa: tissue([1100, 1400], [110, 100], 0.85, 1.5, { uptake: 0.6 }), // E
  gland: tissue([800, 1000], [70, 60], 0.82, 1.1, { fat: 0.2, uptake: 0.4, mottle: 0.08 }), // E
  'breast gland': tissue([1200, 1450], [60, 55], 0.85, 1.92, { fat: 0.15, uptake: 0.3, mottle: 0.12 }), // J, E
  blood: tissue([1441, 1932], [260, 200], 0.9, 2.2, { flow: 0.95, uptake: 1.2, mottle: 0.03 }), // S
  // Blood inside the heart and slow veins is refreshed only partly between pulses (E).
  'slow blood': tissue([1441, 1932], [240, 180], 0.9, 2.2, { flow: 0.75, uptake: 1.2, mottle: 0.05 }),
  myocardium: tissue([1030, 1471], [44, 45], 0.8, 1.5, { uptake: 0.3, mottle: 0.05 }), // S
  liver: tissue([586, 809], [46, 38], 0.74, 1.28, { fat: 0.04, r2p: 14, uptake: 0.4, mottle: 0.05 }), // B, J
  spleen: tissue([1057, 1328], [79, 65], 0.82, 0.85, { uptake: 0.5, mottle: 0.04 }), // B, J
  pancreas: tissue([584, 725], [50, 46], 0.78, 1.6, { fat: 0.1, uptake: 0.4, mottle: 0.12 }), // B, J
  adrenal: tissue([700, 850], [60, 55], 0.8, 1.2, { fat: 0.2, uptake: 0.4 }), // E
  'kidney cortex': tissue([966, 1142], [87, 76], 0.84, 1.9, { uptake: 0.9, mottle: 0.04 }), // B, J
  'kidney medulla': tissue([1412, 1545], [95, 88], 0.88, 1.95, { uptake: 1.1, mottle: 0.04 }), // B, J
  bile: tissue([2500, 2800], [700, 600], 0.98, 2.73, { mottle: 0.02, uptake: 0 }), // J, E
  urine: tissue([3200, 3600], [1400, 1200], 1, 3.0, { mottle: 0.01, uptake: 0.05 }), // E
  'bowel wall': tissue([1000, 1250], [60, 52], 0.8, 1.3, { uptake: 0.5, mottle: 0.06 }), // E
  'bowel content': tissue([700, 850], [65, 55], 0.7, 1.8, { fat: 0.1, r2p: 20, uptake: 0, mottle: 0.2 }), // E
  'bowel fluid': tissue([2200, 2500], [450, 400], 0.96, 2.6, { mottle: 0.08, uptake: 0 }), // E
  'peripheral zone': tissue([1500, 1700], [150, 130], 0.9, 1.64, { uptake: 0.25, mottle: 0.09 }), // B, J
  'transition zone': tissue([1300, 1500], [88, 78], 0.84, 1.31, { uptake: 0.35, mottle: 0.12 }), // B, J
  'prostate stroma': tissue([1150, 1350], [62, 55], 0.78, 1.2, { uptake: 0.3, mottle: 0.08 }), // E
  'prostate nodule': tissue([1400, 1650], [120, 105], 0.88, 1.5, { uptake: 0.45, mottle: 0.12 }), // E
  'seminal vesicle': tissue([2000, 2300], [300, 260], 0.95, 1.8, { uptake: 0.2, mottle: 0.15 }), // E
  myometrium: tissue([1309, 1514], [100, 85], 0.84, 1.53, { uptake: 0.8, mottle: 0.06 }), // B, J
  'junctional zone': tissue([1000, 1250], [52, 45], 0.76, 1.2, { uptake: 0.6, mottle: 0.05 }), // E
  endometrium: tissue([1600, 1850], [180, 160], 0.92, 1.44, { uptake: 0.4, mottle: 0.04 }), // B, J
  cervix: tissue([1135, 1616], [62, 60], 0.8, 1.71, { uptake: 0.5, mottle: 0.07 }), // B, J
  'ovary stroma': tissue([1200, 1500], [75, 68], 0.84, 1.4, { uptake: 0.4, mottle: 0.06 }), // E
  cartilage: tissue([1066, 1240], [42, 37], 0.82, 1.4, { uptake: 0.03, mottle: 0.03 }), // G
  'synovial fluid': tissue([2850, 3620], [1200, 767], 1, 2.5, { mottle: 0.02, uptake: 0 }), // G
  'disc nucleus': tissue([1100, 1300], [150, 130], 0.92, 1.7, { uptake: 0.02, mottle: 0.03 }), // E
  'disc annulus': tissue([750, 900], [28, 25], 0.66, 0.9, { uptake: 0.02, mottle: 0.04 }), // E
  'degenerate disc': tissue([750, 900], [42, 36], 0.68, 0.9, { uptake: 0.02, mottle: 0.05 }), // E
  thyroid: tissue([900, 1150], [75, 65], 0.84, 1.5, { uptake: 0.9, mottle: 0.04 }), // E
  // Disease
  'white matter lesion': tissue([1100, 1350], [190, 170], 0.88, 1.2, { uptake: 0.03 }), // K, E
  oedema: tissue([1250, 1550], [155, 140], 0.88, 1.45, { uptake: 0.03 }), // E
  'brain tumour': tissue([1350, 1650], [125, 115], 0.9, 1.1, { uptake: 0.9, mottle: 0.08 }), // E
  necrosis: tissue([2300, 2600], [300, 260], 0.96, 2.1, { uptake: 0.05 }), // E
  meningioma: tissue([1150, 1450], [92, 86], 0.84, 0.9, { uptake: 1.4, mottle: 0.03 }), // E
  infarct: tissue([1250, 1550], [135, 120], 0.88, 0.42, { uptake: 0.02 }), // E
  'solid mass': tissue([1150, 1450], [88, 80], 0.84, 1.1, { uptake: 0.7, mottle: 0.07 }), // E
  metastasis: tissue([1050, 1350], [88, 76], 0.85, 1.05, { uptake: 0.25, mottle: 0.06 }), // E
  haemangioma: tissue([1350, 1650], [190, 160], 0.92, 1.9, { uptake: 1.1, mottle: 0.02 }), // E
  cyst: tissue([3200, 3600], [1200, 1000], 1, 2.9, { mottle: 0.01, uptake: 0 }), // E
  effusion: tissue([2900, 3300], [900, 800], 0.98, 2.8, { mottle: 0.02, uptake: 0 }), // E
  'prostate cancer': tissue([1250, 1450], [80, 66], 0.82, 0.82, { uptake: 0.7, mottle: 0.04 }), // J, E
  fibroid: tissue([900, 1150], [45, 40], 0.74, 1.0, { uptake: 0.5, mottle: 0.08 }), // E
  'bladder tumour': tissue([1050, 1350], [85, 75], 0.84, 1.0, { uptake: 0.8, mottle: 0.05 }), // E
  'marrow oedema': tissue([1250, 1500], [110, 95], 0.85, 1.5, { fat: 0.3, r2p: 20, uptake: 0.4 }), // E
  'marrow metastasis': tissue([1100, 1350], [85, 78], 0.82, 0.9, { fat: 0.05, uptake: 0.7 }), // E
  'torn ligament': tissue([1300, 1600], [90, 80], 0.85, 1.6, { uptake: 0.3, mottle: 0.12 }), // E
  haematoma: tissue([420, 520], [110, 85], 0.9, 1.1, { uptake: 0, mottle: 0.08 }), // E (late subacute)
} as const satisfies Record<string, Tissue>;

export type TissueName = keyof typeof TISSUES;

/** The tissue of that name; its values can be changed by a spread. */
export function tissueOf(name: TissueName): Tissue {
  return TISSUES[name];
}
