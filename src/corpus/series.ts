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
  rights: z.object({
    licence: z.string(),
    /** "train", "evaluate", "share-weights", "serve". */
    use: z.array(z.string()),
    /** The consent or contract that permits these uses. */
    reference: z.string().nullable().default(null),
    /** The last day of these uses, YYYY-MM-DD; null where they do not end. */
    expires: z.string().nullable().default(null),
    /** Whom to name in what is made of the series. */
    attribution: z.string().nullable().default(null),
  }),
  /** Pseudonymous name of the source the series came from; never a path. */
  source: z.string(),
  /** Where the volume stands among the volumes of its source series, one entry an axis beyond space; usually none. */
  axes: z
    .array(
      z.object({
        /** "time", "b-value", "echo", "part", "direction", "flip angle", … */
        name: z.string(),
        value: z.union([z.number(), z.string()]).nullable(),
        index: z.number().int(),
        /** Volumes along the axis in the source, kept or not. */
        count: z.number().int(),
      }),
    )
    .default([]),
  /** How sure the normalised terms are, 0 to 1; 0 where the term is unknown. */
  confidence: z
    .object({ bodyPart: z.number(), contrast: z.number(), plane: z.number() })
    .default({ bodyPart: 0, contrast: 0, plane: 0 }),
  /** Kept only where ingest was told to retain patient characteristics; ages of 90 and above are 90. */
  sex: z.enum(['F', 'M', 'O']).nullable().default(null),
  ageYears: z.number().nullable().default(null),
  /** Day of the acquisition, YYYY-MM-DD, shifted by the patient's secret offset; null where it is not kept. */
  date: z.string().nullable().default(null),
  /** The cleaned report, where there is one. */
  report: z
    .object({ findings: z.string(), impression: z.string(), other: z.string() })
    .nullable()
    .default(null),
  /** HMAC-SHA256 under the corpus's key of what is stored: type, shape, affine, scaling and voxels. */
  contentHash: z.string().default(''),
  quality: z.object({ snr: z.number().nullable(), motion: z.number().nullable() }).nullable().default(null),
  /** Why the series may not be used until a person has looked at it (burnt-in text); null where it may. */
  quarantined: z.string().nullable().default(null),
  /** Whether the face was taken out of the voxels. */
  defaced: z.boolean().default(false),
});

export type Series = z.infer<typeof seriesSchema>;
