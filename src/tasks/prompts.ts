/** Sentences to choose from where the corpus has none that fit: every plane, contrast and body part in plain words. */

const PLANES = ['axial', 'coronal', 'sagittal'] as const;
const CONTRASTS = [
  'T1-weighted',
  'T2-weighted',
  'proton-density-weighted',
  'FLAIR',
  'fat-suppressed T2-weighted',
  'diffusion-weighted',
] as const;
const BODY_PARTS = [
  'brain',
  'cervical spine',
  'lumbar spine',
  'spine',
  'chest',
  'heart',
  'breast',
  'abdomen',
  'liver',
  'kidney',
  'pelvis',
  'prostate',
  'hip',
  'knee',
  'ankle',
  'shoulder',
  'wrist',
] as const;

/** "axial T2-weighted image of the prostate", for all combinations. */
export const PROMPTS: readonly string[] = PLANES.flatMap((plane) =>
  CONTRASTS.flatMap((contrast) => BODY_PARTS.map((part) => `${plane} ${contrast} image of the ${part}`)),
);
