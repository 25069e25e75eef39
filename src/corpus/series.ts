/** One row of the corpus: what Precess knows of a series once everything identifying is gone. */
import { z } from 'zod';

const vec3 = z.tuple([z.number(), z.number(), z.number()]);
const row4 = z.tuple([z.number(), z.number(), z.number(), z.number()]);

export const seriesSchema = z.object({
  /** Pseudonymous (keyed hash), stable across re-ingest; never an original UID. */
  id: z.string(),
  studyId: z.string(),
  patientId: z.string(),
  /** Series description reduced to known imaging terms, so that no free text is kept. */
  description: z.string(),
  /** DICOM Body Part Examined term (CID 4), upper case: "BRAIN", "PROSTATE"; "UNKNOWN" where it cannot be told. */
  bodyPart: z.string(),
  /** "T1w", "T2w", "PDw", "FLAIR", "DWI", "ADC", … or "unknown". */
  contrast: z.string(),
  /** "axial", "coronal", "sagittal" or "oblique". */
  plane: z.enum(['axial', 'coronal', 'sagittal', 'oblique']),
  manufacturer: z.string(),
  /** Tesla; null where the source does not say. */
  fieldStrengthT: z.number().nullable(),
  /** Voxels along i, j, k, as stored. */
  shape: vec3,
  /** Distance of voxel centres along i, j, k in mm. */
  spacingMm: vec3,
  /** Voxel to RAS+ mm. */
  affine: z.tuple([row4, row4, row4, row4]),
  /** Share of voxels that were measured, 0 to 1. */
  validFraction: z.number(),
  /** Positions along k at which no slice was found. */
  missingSlices: z.array(z.number().int()),
  /** Report sentences where there is a report, else a sentence made from the header. */
  text: z.string(),
  rights: z.object({ licence: z.string(), use: z.array(z.string()) }),
  /** Pseudonymous name of the source the series came from; never a path. */
  source: z.string(),
});

export type Series = z.infer<typeof seriesSchema>;
