/** How makers name their series, sequences and machines. */
import { hasAgent, type Protocol, type Technique } from './protocol.js';
import type { Plane } from './acquire.js';
import type { Stream } from './random.js';

export type Vendor = 'SIEMENS' | 'GE MEDICAL SYSTEMS' | 'Philips' | 'UIH' | 'CANON_MEC';

export interface Scanner {
  readonly manufacturer: Vendor;
  readonly model: string;
  readonly tesla: number;
}

const SCANNERS: readonly Scanner[] = [
  { manufacturer: 'SIEMENS', model: 'MAGNETOM Aera', tesla: 1.5 },
  { manufacturer: 'SIEMENS', model: 'MAGNETOM Skyra', tesla: 3 },
  { manufacturer: 'SIEMENS', model: 'MAGNETOM Vida', tesla: 3 },
  { manufacturer: 'GE MEDICAL SYSTEMS', model: 'Optima MR450w', tesla: 1.5 },
  { manufacturer: 'GE MEDICAL SYSTEMS', model: 'DISCOVERY MR750w', tesla: 3 },
  { manufacturer: 'GE MEDICAL SYSTEMS', model: 'SIGNA Premier', tesla: 3 },
  { manufacturer: 'Philips', model: 'Ingenia Ambition', tesla: 1.5 },
  { manufacturer: 'Philips', model: 'Achieva dStream', tesla: 3 },
  { manufacturer: 'UIH', model: 'uMR 570', tesla: 1.5 },
  { manufacturer: 'UIH', model: 'uMR 790', tesla: 3 },
  { manufacturer: 'CANON_MEC', model: 'Vantage Orian', tesla: 1.5 },
  { manufacturer: 'CANON_MEC', model: 'Vantage Galan', tesla: 3 },
];

export function drawScanner(s: Stream): Scanner {
  return s.choice(SCANNERS);
}

const SHORT_PLANE: Record<Vendor, Record<Plane, string>> = {
  SIEMENS: { axial: 'tra', coronal: 'cor', sagittal: 'sag' },
  'GE MEDICAL SYSTEMS': { axial: 'Ax', coronal: 'Cor', sagittal: 'Sag' },
  Philips: { axial: 'ax', coronal: 'cor', sagittal: 'sag' },
  UIH: { axial: 'tra', coronal: 'cor', sagittal: 'sag' },
  CANON_MEC: { axial: 'AX', coronal: 'COR', sagittal: 'SAG' },
};

/** Weighting as a name's first word: "t1", "T2W", "PD". */
function weighting(p: Protocol): 't1' | 't2' | 'pd' {
  return p.contrast.startsWith('T1') ? 't1' : p.contrast === 'PDw' ? 'pd' : 't2';
}

/** The series description that a technologist of this maker's machine would find on the console. */
export function seriesName(p: Protocol, plane: Plane, vendor: Vendor): string {
  const at = SHORT_PLANE[vendor][plane];
  const w = weighting(p);
  const b = `b${p.b ?? 800}`;
  const join = (...parts: (string | false)[]): string => parts.filter(Boolean).join('_');
  const words = (...parts: (string | false)[]): string => parts.filter(Boolean).join(' ');
  const fs = p.fatSat === true;
  const agent = hasAgent(p);
  switch (vendor) {
    case 'SIEMENS': {
      const names: Record<Technique, string> = {
        se: join(w, 'se', fs && 'fs', at),
        tse: join(w, 'tse', fs && 'fs', at),
        'single-shot': join('t2_haste', fs && 'fs', at),
        tirm: join('t2_tirm', at),
        flair: join('t2_tirm', at, 'dark-fluid'),
        mprage: join('t1_mprage', at, 'p2_iso'),
        flash: join('t2_fl2d', at, 'hemo'),
        vibe: join('t1_vibe', fs && 'fs', at),
        'dixon-in': join('t1_vibe_dixon', at, 'bh_in'),
        'dixon-opposed': join('t1_vibe_dixon', at, 'bh_opp'),
        trufi: join('trufi', at, 'bh'),
        medic: join('t2_medic', at),
        epi: join('ep2d_diff', b, at, p.contrast === 'ADC' && 'ADC'),
      };
      return names[p.technique] + (agent ? '_KM' : '');
    }
    case 'GE MEDICAL SYSTEMS': {
      const W = w.toUpperCase();
      const names: Record<Technique, string> = {
        se: words(at, W, fs && 'FS', 'SE'),
        tse: words(at, W, fs && 'FS', 'FSE'),
        'single-shot': words(at, 'T2', fs && 'FS', 'SSFSE'),
        tirm: words(at, 'STIR'),
        flair: words(at, 'T2 FLAIR'),
        mprage: words(at, '3D T1 BRAVO'),
        flash: words(at, 'T2* GRE'),
        vibe: words(at, 'T1 LAVA', fs && 'FS'),
        'dixon-in': words(at, 'LAVA Flex InPhase'),
        'dixon-opposed': words(at, 'LAVA Flex OutPhase'),
        trufi: words(at, 'FIESTA'),
        medic: words(at, 'MERGE'),
        epi: words(at, p.contrast === 'ADC' ? 'ADC' : `DWI ${b}`),
      };
      return names[p.technique] + (agent ? ' +C' : '');
    }
    case 'Philips': {
      const W = `${w.toUpperCase()}W`;
      const names: Record<Technique, string> = {
        se: join(W, fs && 'SPIR', 'SE', at),
        tse: join(W, 'TSE', fs && 'SPAIR', at),
        'single-shot': join('T2W_SSh', fs && 'SPAIR', at),
        tirm: join('STIR_TSE', at),
        flair: join('FLAIR', at),
        mprage: join('T1W_3D_TFE', at),
        flash: join('T2W_FFE', at),
        vibe: join('T1W', fs ? 'eTHRIVE' : 'THRIVE', fs && 'fs', at),
        'dixon-in': join('T1W_mDIXON_in', at),
        'dixon-opposed': join('T1W_mDIXON_opp', at),
        trufi: join('BFFE', at),
        medic: join('T2W_mFFE', at),
        epi: p.contrast === 'ADC' ? join('dADC', at) : join('DWI', b, at),
      };
      return names[p.technique] + (agent ? '_Gd' : '');
    }
    case 'UIH': {
      const names: Record<Technique, string> = {
        se: join(w, 'se', fs && 'fs', at),
        tse: join(w, 'fse', fs && 'fs', at),
        'single-shot': join('t2_ssfse', fs && 'fs', at),
        tirm: join('stir_fse', at),
        flair: join('t2_fse_flair', at),
        mprage: join('t1_gre_fsp_3d', at),
        flash: join('t2star_gre', at),
        vibe: join('t1_quick3d', fs && 'fs', at),
        'dixon-in': join('t1_quick3d_inphase', at),
        'dixon-opposed': join('t1_quick3d_outphase', at),
        trufi: join('bssfp', at),
        medic: join('t2star_gre', at),
        epi: join(p.contrast === 'ADC' ? 'adc' : `dwi_${b}`, at),
      };
      return names[p.technique] + (agent ? '_gd' : '');
    }
    case 'CANON_MEC': {
      const W = w.toUpperCase();
      const names: Record<Technique, string> = {
        se: words(W, 'SE', fs && 'FatSat', at),
        tse: words(W, 'FSE', fs && 'FatSat', at),
        'single-shot': words('T2 FASE', fs && 'FatSat', at),
        tirm: words('STIR FSE', at),
        flair: words('FLAIR', at),
        mprage: words('T1 3D FE', at),
        flash: words('T2* FE', at),
        vibe: words('T1 Quick3D', fs && 'FatSat', at),
        'dixon-in': words('T1 FE InPhase', at),
        'dixon-opposed': words('T1 FE OutPhase', at),
        trufi: words('TrueSSFP', at),
        medic: words('T2* FE', at),
        epi: words(p.contrast === 'ADC' ? 'ADC' : `DWI ${b}`, at),
      };
      return names[p.technique] + (agent ? ' Gd' : '');
    }
  }
}

/** Name of the pulse sequence in the header (0018,0024). */
export function sequenceName(p: Protocol, vendor: Vendor): string {
  const siemens: Record<Technique, string> = {
    se: '*se2d1',
    tse: '*tse2d1_17',
    'single-shot': '*h2d1_180',
    tirm: '*tir2d1_15',
    flair: '*tir2d1_16',
    mprage: '*tfl3d1_16',
    flash: '*fl2d1',
    vibe: '*fl3d1',
    'dixon-in': '*fl2d1',
    'dixon-opposed': '*fl2d1',
    trufi: '*tfi2d1',
    medic: '*me2d1r3',
    epi: p.contrast === 'ADC' ? '*ep_b' : `*ep_b${p.b ?? 800}t`,
  };
  return vendor === 'SIEMENS' ? siemens[p.technique] : '';
}

/** Values of Scanning Sequence (0018,0020). */
export function scanningSequence(t: Technique): string {
  switch (t) {
    case 'se':
    case 'tse':
    case 'single-shot':
      return 'SE';
    case 'tirm':
    case 'flair':
      return 'SE\\IR';
    case 'mprage':
      return 'GR\\IR';
    case 'epi':
      return 'EP\\SE';
    default:
      return 'GR';
  }
}

export function is3d(t: Technique): boolean {
  return t === 'mprage' || t === 'vibe';
}
