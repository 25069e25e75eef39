/** What a model said of a series as a DICOM Enhanced SR document (PS3.3 A.35.2), beside the series in its study. */
import { encodeTree, textNode, type DicomNode } from './tree.js';
import { newUid } from './uid.js';
import type { DicomInstance } from './instance.js';

type Reported = Omit<DicomInstance, 'identifyingValues'>;

/** The images that a document is about, in order. */
export interface ReportedSeries {
  readonly part: string;
  readonly header: Reported;
  readonly slices: readonly { readonly instance: Reported }[];
}

export interface ReportedPrediction {
  /** What was predicted by, and which weights: told as Algorithm Name and Version (PS3.16 CID 4031's codes). */
  readonly algorithm: string;
  readonly version: string;
  /** The decided class, number or labels, in words. */
  readonly decision: string;
  /** Probability of each class or label, 0 to 1. */
  readonly probabilities: Readonly<Record<string, number>>;
  /** When it was predicted. */
  readonly time: Date;
}

const ENHANCED_SR = '1.2.840.10008.5.1.4.1.1.88.22';
const EXPLICIT_LITTLE = '1.2.840.10008.1.2.1';
const OWN = '99PRECESS';
export const WARNING = 'Research result, not for clinical use. A prediction is no diagnosis.';

/**
 * A Part 10 file: an unverified document in a new series of the same study and patient, that says that it is not for clinical
 * use, names the model, its decision and each class's probability (a NUM with UCUM unit 1), and refers to the images. The
 * same series, model and time give the same UIDs.
 */
export function encodePrediction(series: ReportedSeries, predicted: ReportedPrediction): Uint8Array {
  const { header: source } = series;
  const { algorithm, version, decision, probabilities, time } = predicted;
  const stamp = time.toISOString();
  const [date, clock] = [stamp.slice(0, 10).replaceAll('-', ''), stamp.slice(11, 19).replaceAll(':', '')];
  const seed = `sr ${source.seriesUid} ${series.part} ${algorithm} ${version} ${stamp}`;
  // Several frames of one file are one instance.
  const images = [
    ...new Map(series.slices.map(({ instance }) => [instance.sopInstanceUid, instance])).values(),
  ];
  const content = [
    textItem(['warning', OWN, 'Warning'], WARNING),
    textItem(['111001', 'DCM', 'Algorithm Name'], algorithm),
    textItem(['111003', 'DCM', 'Algorithm Version'], version),
    textItem(['decision', OWN, 'Decision of the model'], decision),
    ...Object.entries(probabilities).map(([name, p], n) =>
      numberItem([`p${n + 1}`, OWN, `Probability of ${name}`], p),
    ),
    ...images.map(({ sopClassUid, sopInstanceUid }) => [
      text(0x0040a010, 'CS', 'CONTAINS'),
      text(0x0040a040, 'CS', 'IMAGE'),
      sequence(0x00081199, [[text(0x00081150, 'UI', sopClassUid), text(0x00081155, 'UI', sopInstanceUid)]]),
    ]),
  ];
  return encodeTree(EXPLICIT_LITTLE, [
    text(0x00080005, 'CS', 'ISO_IR 192'),
    text(0x00080016, 'UI', ENHANCED_SR),
    text(0x00080018, 'UI', newUid(`${seed} instance`)),
    text(0x00080020, 'DA', source.studyDate),
    text(0x00080023, 'DA', date),
    text(0x00080030, 'TM', ''),
    text(0x00080033, 'TM', clock),
    text(0x00080050, 'SH', source.accessionNumber),
    text(0x00080060, 'CS', 'SR'),
    text(0x00080070, 'LO', 'Precess'),
    text(0x00080090, 'PN', ''),
    text(0x00081030, 'LO', source.studyDescription),
    text(0x0008103e, 'LO', 'Prediction, not for clinical use'),
    sequence(0x00081111, []),
    text(0x00100010, 'PN', source.patientName),
    text(0x00100020, 'LO', source.patientId),
    text(0x00100030, 'DA', source.patientBirthDate),
    text(0x00100040, 'CS', source.sex),
    text(0x0020000d, 'UI', source.studyUid),
    text(0x0020000e, 'UI', newUid(`${seed} series`)),
    text(0x00200010, 'SH', ''),
    text(0x00200011, 'IS', '1'),
    text(0x00200013, 'IS', '1'),
    text(0x0040a040, 'CS', 'CONTAINER'),
    code(0x0040a043, ['prediction', OWN, 'Prediction by a model, not for clinical use']),
    text(0x0040a050, 'CS', 'SEPARATE'),
    sequence(0x0040a372, []),
    sequence(0x0040a375, [
      [
        text(0x0020000d, 'UI', source.studyUid),
        sequence(0x00081115, [
          [
            text(0x0020000e, 'UI', source.seriesUid),
            sequence(
              0x00081199,
              images.map((one) => [
                text(0x00081150, 'UI', one.sopClassUid),
                text(0x00081155, 'UI', one.sopInstanceUid),
              ]),
            ),
          ],
        ]),
      ],
    ]),
    text(0x0040a491, 'CS', 'COMPLETE'),
    text(0x0040a493, 'CS', 'UNVERIFIED'),
    sequence(0x0040a730, content),
  ]);
}

/** UIDs are filled up with a zero byte, other text with a space (PS3.5 section 6.2). */
function text(tag: number, vr: string, value: string): DicomNode {
  return textNode(tag, vr, value.length % 2 === 1 && vr === 'UI' ? `${value}\0` : value);
}

const sequence = (tag: number, items: readonly (readonly DicomNode[])[]): DicomNode => ({
  tag,
  vr: 'SQ',
  items,
});

type Code = readonly [value: string, scheme: string, meaning: string];

/** A meaning has at most 64 characters. */
const code = (tag: number, [value, scheme, meaning]: Code): DicomNode =>
  sequence(tag, [
    [
      text(0x00080100, 'SH', value),
      text(0x00080102, 'SH', scheme),
      text(0x00080104, 'LO', Array.from(meaning).slice(0, 64).join('')),
    ],
  ]);

const textItem = (name: Code, value: string): DicomNode[] => [
  text(0x0040a010, 'CS', 'CONTAINS'),
  text(0x0040a040, 'CS', 'TEXT'),
  code(0x0040a043, name),
  text(0x0040a160, 'UT', value),
];

const numberItem = (name: Code, value: number): DicomNode[] => [
  text(0x0040a010, 'CS', 'CONTAINS'),
  text(0x0040a040, 'CS', 'NUM'),
  code(0x0040a043, name),
  sequence(0x0040a300, [
    [code(0x004008ea, ['1', 'UCUM', 'no units']), text(0x0040a30a, 'DS', value.toFixed(6))],
  ]),
];
