/**
 * Header terms on the way scanners and sites really write them: product names from the makers' published sequence
 * lists (Siemens, GE, Philips, Canon, United Imaging, Hitachi), several languages. Expected values are what a
 * radiographer would say of the series.
 */
import { describe, expect, it } from 'vitest';
import { type Contrast, CONTRASTS } from '../../src/text/contrast.js';
import { describeHeader, type HeaderFields, NO_FIELDS } from '../../src/text/header.js';
import { headerSentences } from '../../src/text/sentences.js';
import { imagingTerms, manufacturerOf } from '../../src/text/terms.js';

const context = { plane: 'axial', spacingMm: [0.5, 0.5, 3], id: 'se-1' } as const;
const describeSeries = (fields: Partial<HeaderFields>): ReturnType<typeof describeHeader> =>
  describeHeader({ ...NO_FIELDS, ...fields }, context);

/** [series description, contrast, body part, other fields] */
const cases: [string, Contrast, string, Partial<HeaderFields>?][] = [
  // Siemens
  ['t2_tse_tra', 'T2w', 'PROSTATE', { bodyPartExamined: 'PROSTATE' }],
  ['t2_tse_sag_p2_384', 'T2w', 'UNKNOWN'],
  ['t1_mprage_sag_p2_iso', 'T1w', 'UNKNOWN'],
  ['t1_mprage_tra_p2_iso_KM', 'T1w+C', 'UNKNOWN'],
  ['t2_tirm_tra_dark-fluid', 'FLAIR', 'BRAIN', { bodyPartExamined: 'HEAD', inversionTime: 2500 }],
  ['t2_spc_da-fl_sag_p2_iso', 'FLAIR', 'UNKNOWN'],
  ['t2_tirm_cor', 'STIR', 'UNKNOWN', { inversionTime: 160 }],
  ['ep2d_diff_tra_DYNDIST_ADC', 'ADC', 'UNKNOWN'],
  ['ep2d_diff_4scan_trace_p2_TRACEW', 'DWI', 'UNKNOWN'],
  ['resolve_3scan_trace_tra_192_ADC', 'ADC', 'UNKNOWN'],
  ['t1_vibe_fs_tra_bh_pre', 'T1w', 'UNKNOWN'],
  ['t1_vibe_dixon_tra_bh_W', 'T1w', 'ABDOMEN', { bodyPartExamined: 'ABDOMEN' }],
  ['t2_haste_cor_bh', 'T2w', 'LIVER', { studyDescription: 'MRT Leber nativ + KM' }],
  ['t2_blade_tra_trig', 'T2w', 'UNKNOWN'],
  ['pd_tse_fs_sag_320', 'PDw', 'KNEE', { protocolName: 'Knie rechts' }],
  ['t2_fl2d_tra_hemo', 'T2*w', 'UNKNOWN'],
  ['t2_me2d_medic_tra', 'T2*w', 'CSPINE', { bodyPartExamined: 'CSPINE' }],
  ['swi_tra_mIP', 'SWI', 'UNKNOWN'],
  ['TOF_3D_multi-slab', 'MRA', 'UNKNOWN'],
  ['ep2d_bold_moco_rest', 'BOLD', 'UNKNOWN'],
  ['ep2d_perf_p2', 'PWI', 'UNKNOWN'],
  ['tgse_pcasl_3d', 'ASL', 'UNKNOWN'],
  ['tfl_3d PD ref_tra_1.5x1.5_t3', 'PDw', 'PROSTATE', { bodyPartExamined: 'PROSTATE' }],
  ['trufi_cor_bh', 'bSSFP', 'UNKNOWN'],
  ['t1_tse_sag HWS', 'T1w', 'CSPINE'],
  ['t2_tse_sag LWS', 'T2w', 'LSPINE'],
  // GE
  ['Ax T2 FLAIR', 'FLAIR', 'UNKNOWN'],
  ['AX T1 FLAIR', 'T1w', 'UNKNOWN'],
  ['Sag CUBE T2', 'T2w', 'UNKNOWN'],
  ['3D AX BRAVO +C', 'T1w+C', 'UNKNOWN'],
  ['Ax T2 FRFSE Prostate', 'T2w', 'PROSTATE', { bodyPartExamined: 'PELVIS' }],
  ['Ax DWI b1000', 'DWI', 'UNKNOWN'],
  ['Apparent Diffusion Coefficient (mm2/s)', 'ADC', 'UNKNOWN'],
  ['Ax LAVA Flex 20 min', 'T1w', 'LIVER', { protocolName: 'LIVER WITH EOVIST' }],
  ['COR SSFSE BH', 'T2w', 'UNKNOWN'],
  ['Ax T2* GRE', 'T2*w', 'UNKNOWN'],
  ['Ax SWAN', 'SWI', 'UNKNOWN'],
  ['SAG STIR C-SPINE', 'STIR', 'CSPINE', { bodyPartExamined: 'SPINE' }],
  ['Sag PD FS', 'PDw', 'KNEE', { bodyPartExamined: 'KNEE' }],
  ['Ax T1 FS Post', 'T1w+C', 'UNKNOWN'],
  ['Ax T1 SE', 'T1w', 'UNKNOWN', { contrastAgent: 'NONE' }],
  ['Ax T1 SE', 'T1w+C', 'UNKNOWN', { contrastAgent: 'Gadavist' }],
  ['FSE PD AXIAL OBL', 'PDw', 'BRAIN', { protocolName: 'CLINICAL BRAIN' }],
  ['Sag FIESTA', 'bSSFP', 'UNKNOWN'],
  // Philips
  ['T2W_TSE_AX', 'T2w', 'UNKNOWN'],
  ['sT1W_3D_FFE', 'T1w', 'UNKNOWN'],
  ['eTHRIVE_dyn', 'T1w', 'UNKNOWN'],
  ['dDWI_b0_b800', 'DWI', 'UNKNOWN'],
  ['FLAIR_longTR', 'FLAIR', 'UNKNOWN'],
  ['mDIXON_W', 'T1w', 'UNKNOWN'],
  ['BFFE_M2D', 'bSSFP', 'UNKNOWN'],
  // Venous BOLD is Philips' early susceptibility-weighted imaging.
  ['VEN_BOLD_HR', 'SWI', 'UNKNOWN'],
  ['PDW_SPAIR sag', 'PDw', 'UNKNOWN'],
  ['T2W_SPAIR mamma', 'T2w', 'BREAST'],
  // Canon
  ['FASE T2 COR', 'T2w', 'UNKNOWN'],
  ['T1 Quick3D Fatsat', 'T1w', 'UNKNOWN'],
  ['FSBB', 'SWI', 'UNKNOWN'],
  ['FSE2D_T2_JET', 'T2w', 'UNKNOWN'],
  // United Imaging
  ['t1_gre_fsp_3d_sag', 'T1w', 'BRAIN', { bodyPartExamined: 'HEAD' }],
  ['t2_fse_tra', 'T2w', 'UNKNOWN'],
  ['dwi_epi_tra_b1000', 'DWI', 'UNKNOWN'],
  ['t2_fse_fs_cor_shoulder', 'T2w', 'SHOULDER'],
  // Hitachi
  ['T2 RADAR', 'T2w', 'UNKNOWN'],
  // Languages
  ['AX T2 cerveau', 'T2w', 'BRAIN'],
  ['SAG T1 rodilla', 'T1w', 'KNEE'],
  ['DP FS COR genou', 'PDw', 'KNEE'],
  ['t2 koronal diz', 'T2w', 'KNEE'],
  ['T2 sagittale ginocchio', 'T2w', 'KNEE'],
  ['T2 TSE TRA prostaat', 'T2w', 'PROSTATE'],
  ['T1 Schädel axial', 'T1w', 'BRAIN'],
  ['T2 Hüfte cor', 'T2w', 'HIP'],
  // Glued and capitalised
  ['AxT2FLAIR', 'FLAIR', 'UNKNOWN'],
  ['t2tsesag', 'T2w', 'UNKNOWN'],
  ['CorT1', 'T1w', 'UNKNOWN'],
  // No word says it: timing
  ['AX', 'T2w', 'UNKNOWN', { scanningSequence: ['SE'], echoTime: 100, repetitionTime: 4000 }],
  ['AX', 'T1w', 'UNKNOWN', { scanningSequence: ['SE'], echoTime: 12, repetitionTime: 550 }],
  ['AX', 'PDw', 'UNKNOWN', { scanningSequence: ['SE'], echoTime: 20, repetitionTime: 2500 }],
  [
    'AX',
    'FLAIR',
    'UNKNOWN',
    { scanningSequence: ['SE', 'IR'], echoTime: 120, repetitionTime: 9000, inversionTime: 2500 },
  ],
  ['AX', 'T2*w', 'UNKNOWN', { scanningSequence: ['GR'], echoTime: 20, repetitionTime: 600, flipAngle: 20 }],
  [
    'AX',
    'DWI',
    'UNKNOWN',
    { scanningSequence: ['EP', 'SE'], echoTime: 70, repetitionTime: 4000, bValue: 800 },
  ],
  ['PD/T2 AX', 'PDw', 'UNKNOWN', { echoTime: 15, repetitionTime: 3000, scanningSequence: ['SE'] }],
  ['PD/T2 AX', 'T2w', 'UNKNOWN', { echoTime: 95, repetitionTime: 3000, scanningSequence: ['SE'] }],
  // Maps by Image Type
  ['anything', 'ADC', 'UNKNOWN', { imageType: ['DERIVED', 'PRIMARY', 'DIFFUSION', 'ADC'] }],
  ['ep2d', 'DWI', 'UNKNOWN', { imageType: ['DERIVED', 'PRIMARY', 'DIFFUSION', 'TRACEW'] }],
  // It cannot know
  ['Localizer', 'unknown', 'UNKNOWN'],
  ['Untitled 7', 'unknown', 'UNKNOWN'],
  ['', 'unknown', 'UNKNOWN'],
];

describe('describeHeader', () => {
  it.each(cases)('%s is %s of %s', (seriesDescription, contrast, bodyPart, fields) => {
    const found = describeSeries({ seriesDescription, ...fields });
    expect({ contrast: found.contrast, bodyPart: found.bodyPart }).toEqual({ contrast, bodyPart });
  });

  it.each([
    ['study1_FLAIR', ['patient01', 'brain-ms'], 'FLAIR', 'BRAIN'],
    ['BraTS-MET-00110-000-t1c', ['brain-metastasis'], 'T1w+C', 'BRAIN'],
    ['BraTS-MET-00110-000-t1n', ['brain-metastasis'], 'T1w', 'BRAIN'],
    ['BraTS-MET-00110-000-t2f', ['brain-metastasis'], 'FLAIR', 'BRAIN'],
    ['BraTS-MET-00110-000-t2w', ['x'], 'T2w', 'BRAIN'],
    ['sub-01_ses-02_T1w', ['anat', 'ses-02', 'sub-01'], 'T1w', 'UNKNOWN'],
    ['t2', ['spine-sct'], 'T2w', 'SPINE'],
    ['chris_MRA', ['brain-niivue'], 'MRA', 'BRAIN'],
    ['MR_Gd', ['brain-niivue'], 'T1w+C', 'BRAIN'],
    ['example_mr_sm', ['body-totalseg'], 'unknown', 'UNKNOWN'],
  ] as const)('file %s in %s', (file, folders, contrast, bodyPart) => {
    const found = describeSeries({ names: [file, ...folders] });
    expect({ contrast: found.contrast, bodyPart: found.bodyPart }).toEqual({ contrast, bodyPart });
  });

  it('keeps only imaging terms of a description', () => {
    const found = describeSeries({
      seriesDescription: 'MUELLER^Anna 1961-04-02 t2_tse_tra ID4711 Dr. Cortes Kneeland Sagan',
    });
    expect(found.description).toBe('t2 tse tra');
  });

  it('drops an imaging term that is a part of the name of the patient', () => {
    const fields = { ...NO_FIELDS, seriesDescription: 'Foot John t1 tse' };
    expect(describeHeader(fields, { ...context, identifying: ['FOOT^JOHN'] }).description).toBe('t1 tse');
    expect(describeHeader(fields, { ...context, identifying: ['FOOT^JOHN'] }).bodyPart).toBe('UNKNOWN');
  });

  it('takes the body part of the study where the series names none', () => {
    const fields = { ...NO_FIELDS, seriesDescription: 't1_tse_tra' };
    expect(describeHeader(fields, { ...context, studyBodyPart: 'PROSTATE' }).bodyPart).toBe('PROSTATE');
    const knee = { ...fields, bodyPartExamined: 'KNEE' };
    expect(describeHeader(knee, { ...context, studyBodyPart: 'PROSTATE' }).bodyPart).toBe('KNEE');
  });
});

describe('header sentences', () => {
  const facts = {
    plane: 'axial',
    contrast: 'T2w',
    bodyPart: 'PROSTATE',
    sequence: 'turbo spin echo',
    fatSuppressed: false,
    fieldStrengthT: 3,
    sliceMm: 3,
    threeD: false,
    bValue: null,
    localizer: false,
  } as const;

  it('says what the header says', () => {
    const all = headerSentences(facts);
    expect(all[0]).toBe('Axial T2-weighted turbo spin echo of the prostate, 3 T, 3 mm slices');
    for (const sentence of all) expect(sentence).toMatch(/axial.*T2|T2.*axial/i);
    expect(new Set(all).size).toBe(all.length);
  });

  it('leaves out what is not known', () => {
    const bare = { ...facts, contrast: 'unknown', bodyPart: 'UNKNOWN', sequence: null, fieldStrengthT: null };
    for (const sentence of headerSentences({ ...bare, sliceMm: null })) {
      expect(sentence).not.toMatch(/unknown|undefined|null|NaN|\bT\b|mm|of the/i);
      expect(sentence).toMatch(/^[A-Z].*[a-z]$/);
    }
  });

  it('gives every contrast words of its own', () => {
    const seen = CONTRASTS.map((contrast) => headerSentences({ ...facts, contrast })[0]);
    expect(new Set(seen).size).toBe(CONTRASTS.length);
  });

  it('is the same for the same id and varies over ids', () => {
    const fields = { ...NO_FIELDS, seriesDescription: 't2_tse_tra', bodyPartExamined: 'PROSTATE' };
    const say = (id: string): string => describeHeader(fields, { ...context, id }).text;
    expect(say('se-1')).toBe(say('se-1'));
    expect(new Set(Array.from({ length: 60 }, (_, n) => say(`se-${n}`))).size).toBeGreaterThan(3);
  });
});

describe('terms', () => {
  it('marks T2* and contrast agents written with signs', () => {
    expect(imagingTerms('Ax T2* +C')).toEqual(['ax', 't2star', 'postcontrast']);
  });

  it.each([
    ['SIEMENS', 'Siemens'],
    ['Siemens Healthineers', 'Siemens'],
    ['GE MEDICAL SYSTEMS', 'GE'],
    ['Philips Medical Systems', 'Philips'],
    ['TOSHIBA_MEC', 'Canon'],
    ['CANON_MEC', 'Canon'],
    ['UIH', 'UIH'],
    ['Hospital of Dr. Smith', 'unknown'],
  ])('maker %s', (written, maker) => expect(manufacturerOf(written)).toBe(maker));
});
