/** The frames of enhanced multi-frame MR images (PS3.3 A.36, C.7.6.16, C.8.13), one instance each. */
import { complexPartOf } from './complex.js';
import type { DataSet } from './dataset.js';
import type { DicomInstance, PixelLocation } from './instance.js';
import { UNDEFINED_LENGTH } from './parse.js';
import { orientationOf, pairOf, tripleOf } from './plane.js';
import { scalingOf } from './scaling.js';

const SHARED_GROUPS = 0x52009229;
const PER_FRAME_GROUPS = 0x52009230;

/**
 * Every frame of `file`, as if it were a file of its own: what the functional groups say of the frame (else of all
 * frames) takes the place of what the file says. Empty where the file has no Per-frame Functional Groups, or not
 * one for every frame.
 */
export function framesOf(dataSet: DataSet, file: DicomInstance): DicomInstance[] {
  const perFrame = dataSet.sequence(PER_FRAME_GROUPS);
  if (perFrame.length !== file.numberOfFrames) return [];
  const shared = dataSet.sequence(SHARED_GROUPS)[0] ?? dataSet.empty();
  const whole = describe(dataSet, file);
  return perFrame.map((own, frame) => frameOf(whole, own, shared, frame));
}

/** What the enhanced image modules (PS3.3 C.8.13.4) say of the whole file under other tags than the classic one. */
function describe(dataSet: DataSet, file: DicomInstance): DicomInstance {
  const is = (tag: number, value: string): boolean => dataSet.text(tag) === value;
  const scanning = [
    is(0x00189008, 'SPIN') || is(0x00189008, 'BOTH') ? 'SE' : '',
    is(0x00189008, 'GRADIENT') || is(0x00189008, 'BOTH') ? 'GR' : '',
    is(0x00189009, 'YES') ? 'IR' : '',
    is(0x00189018, 'YES') ? 'EP' : '',
  ].filter((value) => value !== '');
  const agent = dataSet.sequence(0x00180012)[0]?.text(0x00080104) ?? '';
  return {
    ...file,
    sequenceName: file.sequenceName || dataSet.text(0x00189005),
    scanningSequence: file.scanningSequence || scanning.join('\\'),
    contrastAgent: file.contrastAgent || agent,
  };
}

function frameOf(file: DicomInstance, own: DataSet, shared: DataSet, frame: number): DicomInstance {
  const group = (tag: number): DataSet => own.sequence(tag)[0] ?? shared.sequence(tag)[0] ?? own.empty();
  const measures = group(0x00289110);
  const content = group(0x00209111);
  const timing = group(0x00189112);
  const diffusion = group(0x00189117);
  const temporal = group(0x00209310);
  const anatomy = group(0x00209071).sequence(0x00082218)[0]?.text(0x00080104) ?? '';
  const frameType = group(0x00189226);
  const gradient = diffusion.sequence(0x00189076)[0]?.doubles(0x00189089) ?? [];
  return {
    ...file,
    frame,
    pixels: file.pixels === null ? null : pixelsOf(file, file.pixels, frame),
    imageType: imageTypeOf(frameType, file),
    pixelSpacing: pairOf(measures.decimals(0x00280030)),
    sliceThickness: measures.decimal(0x00180050),
    spacingBetweenSlices: measures.decimal(0x00180088),
    imagePosition: tripleOf(group(0x00209113).decimals(0x00200032)),
    imageOrientation: orientationOf(group(0x00209116).decimals(0x00200037)),
    complexPart: complexPartOf(frameType, frameType.texts(0x00089007)) || file.complexPart,
    rescale:
      scalingOf({
        rescale: group(0x00289145),
        philips: philipsGroup(own, shared),
        realWorld: own.has(0x00409096) ? own : shared,
      }) ?? file.rescale,
    repetitionTime: timing.decimal(0x00180080) ?? file.repetitionTime,
    flipAngle: timing.decimal(0x00181314) ?? file.flipAngle,
    echoTime: group(0x00189114).doubles(0x00189082)[0] ?? file.echoTime,
    inversionTime: group(0x00189115).doubles(0x00189079)[0] ?? file.inversionTime,
    diffusionBValue: diffusion.doubles(0x00189087)[0] ?? file.diffusionBValue,
    diffusionDirection: gradient.map((value) => value.toFixed(4)).join('\\'),
    // Temporal Position Index counts; the Temporal Position group gives seconds. Either tells time points apart.
    temporalPosition: content.binary(0x00209128) ?? temporal.doubles(0x0020930d)[0] ?? file.temporalPosition,
    triggerTime: group(0x00189118).doubles(0x00209153)[0] ?? file.triggerTime,
    acquisitionNumber: content.binary(0x00209156) ?? file.acquisitionNumber,
    stackId: content.text(0x00209056),
    bodyPartExamined: file.bodyPartExamined || anatomy.toUpperCase(),
  };
}

/** Philips keeps the private elements of a classic image in a private sequence of each frame. */
function philipsGroup(own: DataSet, shared: DataSet): DataSet {
  for (const groups of [own, shared]) {
    const item = groups.sequence(groups.privateTag(0x2005, 'Philips MR Imaging DD 005', 0x0f))[0];
    if (item !== undefined) return item;
  }
  return own;
}

/** Frame Type (0008,9007), and the Complex Image Component (0008,9208) where the frame is not the magnitude. */
function imageTypeOf(frameType: DataSet, file: DicomInstance): readonly string[] {
  const type = frameType.texts(0x00089007);
  const component = frameType.text(0x00089208);
  const tellsMore = component !== '' && component !== 'MAGNITUDE' && component !== 'MIXED';
  return [...(type.length > 0 ? type : file.imageType), ...(tellsMore ? [component] : [])];
}

/** Native frames follow one another without padding (PS3.5 section 8.2); fragments are found when they are read. */
function pixelsOf(file: DicomInstance, pixels: PixelLocation, frame: number): PixelLocation {
  if (pixels.length === UNDEFINED_LENGTH) return pixels;
  const size = ((file.rows ?? 0) * (file.columns ?? 0) * file.samplesPerPixel * file.bits.allocated) / 8;
  const length = Math.max(0, Math.min(size, pixels.length - frame * size));
  return { offset: pixels.offset + frame * size, length };
}
