/** A study in every shape that ingest takes, with values that identify a person wherever one can stand. */
import { readFileSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { newUid } from '../../src/formats/dicom/index.js';
import { type DicomNode, encodeTree, readTree, textNode } from '../../src/formats/dicom/tree.js';
import { writeNifti } from '../../src/formats/nifti/index.js';
import { dicom, image } from './made.js';
import { zipOf } from './zip.js';

/** As test/fixtures/corpus/make_planted.py plants them, with more where DICOM has no place. */
export const PLANTED = {
  family: 'Zworykin',
  given: 'Vladlena',
  accented: 'Władysława',
  number: '7734501',
  birth: '19610402',
  spokenBirth: '02.04.1961',
  time: '031733',
  place: 'Quellenhof',
  day: '20110707',
  isoDay: '2011-07-07',
  phone: '5550199',
  mail: 'vladlena@zw.example',
} as const;

export interface PlantedSource {
  /** Folders and files to ingest, each with a planted name of its own. */
  readonly sources: string[];
  readonly reports: string;
  readonly metadata: string;
}

const NAME = `${PLANTED.family}ova_${PLANTED.accented}_${PLANTED.spokenBirth}`;
const COMMENT =
  `Ms. ${PLANTED.family}ova, ${PLANTED.given} (born ${PLANTED.spokenBirth}, PID-${PLANTED.number}) of ` +
  `${PLANTED.place}: lesion in the left peripheral zone. Compared with ${PLANTED.isoDay}. ` +
  `Call +49 30 ${PLANTED.phone} or write to ${PLANTED.mail}.`;

/** Writes everything under `dir` and says where it is. */
export async function writePlanted(dir: string): Promise<PlantedSource> {
  const folder = join(dir, NAME);
  await plantedDicom(join(folder, `PID-${PLANTED.number}`), 1);
  await writeFile(join(folder, `${NAME}.dcm`), report());
  await nifti(join(folder, 'nifti'));
  const dataset = join(dir, `${PLANTED.family} study`);
  await bids(dataset);
  const inside = join(dir, 'inside');
  const members = (await plantedDicom(inside, 2)).map((path, n) => [path, n] as const);
  const archive = join(dir, `${NAME}.zip`);
  const packed = await Promise.all(
    members.map(async ([path, n]) => [`${NAME}/${n}.dcm`, await readFile(path)] as const),
  );
  await writeFile(archive, zipOf(packed));
  await rm(inside, { recursive: true });
  const reports = join(dir, `${NAME}.csv`);
  await writeFile(
    reports,
    'Patient ID,Patient Name,Date of birth,Institution,Radiologist,Report\n' +
      `PID-${PLANTED.number}-2,"${PLANTED.family}ova, ${PLANTED.given}",${PLANTED.spokenBirth},${PLANTED.place},Dr. ${PLANTED.place},` +
      `"FINDINGS: ${COMMENT} IMPRESSION: Normal. Signed by Dr. ${PLANTED.place}."\n`,
  );
  const metadata = join(dir, 'metadata.csv');
  await writeFile(
    metadata,
    'path,patient,study,description,contrast,bodyPart,sex,age,report,institution\n' +
      `${join(folder, 'nifti', `${NAME}.nii`)},PID-${PLANTED.number}-2,${PLANTED.number},t1 ${PLANTED.family}ova,` +
      `T1w ${PLANTED.place},BRAIN,F,47,"${COMMENT.replaceAll('"', '')}",${PLANTED.place}\n`,
  );
  return { sources: [folder, dataset, archive], reports, metadata };
}

/** Elements that a written slice must have of its own, so that the planted header is of a readable image. */
const isOfImage = (tag: number): boolean =>
  [0x0028, 0x7fe0].includes(tag >>> 16) ||
  [0x00080016, 0x00080018, 0x00080060, 0x00200013, 0x00200032, 0x00200037].includes(tag);

/** A series whose every slice has the header of fixtures/corpus/planted/explicit.dcm. */
async function plantedDicom(dir: string, seed: number): Promise<string[]> {
  const planted = readTree(
    readFileSync(new URL('../fixtures/corpus/planted/explicit.dcm', import.meta.url)),
    'planted',
  );
  const paths = await dicom(dir, { seriesUid: newUid(`planted ${seed}`) }, image([40, 36, 8], seed));
  for (const path of paths) {
    const slice = readTree(await readFile(path), 'slice');
    const changed: DicomNode[] = [
      textNode(0x0020000e, 'UI', `1.2.826.${PLANTED.number}.3.${seed}`),
      textNode(0x00204000, 'LT', COMMENT),
      textNode(0x00080005, 'CS', 'ISO_IR 192'),
      textNode(0x00100010, 'PN', `${PLANTED.family}ova^${PLANTED.accented} ${PLANTED.given}`),
      textNode(0x00180015, 'CS', PLANTED.family.toUpperCase()),
      textNode(0x00080070, 'LO', `SIEMENS ${PLANTED.place}`),
      textNode(0x00080080, 'LO', `${PLANTED.place} Klinik`),
    ];
    const own = [...slice.nodes.filter(({ tag }) => isOfImage(tag)), ...changed];
    const tags = new Set(own.map(({ tag }) => tag));
    const rest = planted.nodes.filter(({ tag }) => !tags.has(tag) && !isOfImage(tag));
    await writeFile(path, encodeTree(slice.transferSyntax, [...rest, ...own]));
  }
  return paths;
}

/** A Basic Text SR document of the same study (PS3.3 annex A.35.1). */
function report(): Uint8Array {
  const concept = (code: string, meaning: string): DicomNode => ({
    tag: 0x0040a043,
    vr: 'SQ',
    items: [
      [
        textNode(0x00080100, 'SH', code),
        textNode(0x00080102, 'SH', 'DCM'),
        textNode(0x00080104, 'LO', meaning),
      ],
    ],
  });
  const text = (code: string, meaning: string, value: string): DicomNode[] => [
    textNode(0x0040a010, 'CS', 'CONTAINS'),
    textNode(0x0040a040, 'CS', 'TEXT'),
    concept(code, meaning),
    textNode(0x0040a160, 'UT', value),
  ];
  return encodeTree('1.2.840.10008.1.2.1', [
    textNode(0x00080005, 'CS', 'ISO_IR 192'),
    textNode(0x00080016, 'UI', '1.2.840.10008.5.1.4.1.1.88.11'),
    textNode(0x00080018, 'UI', `1.2.826.${PLANTED.number}.9`),
    textNode(0x00080020, 'DA', PLANTED.day),
    textNode(0x00080060, 'CS', 'SR'),
    textNode(0x00080080, 'LO', `${PLANTED.place} Klinik`),
    textNode(0x00100010, 'PN', `${PLANTED.family}ova^${PLANTED.accented} ${PLANTED.given}`),
    textNode(0x00100020, 'LO', `PID-${PLANTED.number}`),
    textNode(0x0020000d, 'UI', `1.2.826.${PLANTED.number}.2`),
    textNode(0x0020000e, 'UI', `1.2.826.${PLANTED.number}.8`),
    textNode(0x0040a040, 'CS', 'CONTAINER'),
    concept('121060', 'Report'),
    {
      tag: 0x0040a730,
      vr: 'SQ',
      items: [
        text('121071', 'Finding', COMMENT),
        text('121073', 'Impression', `${PLANTED.accented} has no lesion elsewhere.`),
      ],
    },
  ]);
}

/** Planted in descrip, aux_file, intent_name, db_name and header extensions (nifti1.h). */
async function nifti(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  const plain = Buffer.from(writeNifti(image([40, 36, 8], 3), { gzip: false }));
  const label = `${PLANTED.family}ova ${PLANTED.number} ${PLANTED.place}`;
  plain.write(label.slice(0, 10), 4, 'latin1');
  plain.write(`${PLANTED.family}ova ${PLANTED.number}`, 14, 18, 'latin1');
  plain.write(label, 148, 80, 'latin1');
  plain.write(PLANTED.number, 228, 24, 'latin1');
  plain.write(PLANTED.family, 328, 16, 'latin1');
  const note = Buffer.alloc(160);
  note.writeInt32LE(160, 0);
  note.writeInt32LE(6, 4);
  note.write(COMMENT.slice(0, 150), 8, 'utf8');
  plain.writeFloatLE(352 + 160, 108);
  const extended = Buffer.concat([
    plain.subarray(0, 348),
    Buffer.from([1, 0, 0, 0]),
    note,
    plain.subarray(352),
  ]);
  await writeFile(join(dir, `${NAME}.nii`), extended);
}

const KEYS = [
  'PatientName PatientID PatientBirthDate AccessionNumber InstitutionName InstitutionAddress StationName',
  'DeviceSerialNumber StudyInstanceUID SeriesInstanceUID StudyID ReferringPhysicianName OperatorsName ImageComments',
  'InstitutionalDepartmentName ProcedureStepDescription PulseSequenceName SequenceName ScanOptions BodyPartExamined',
  'Manufacturer ManufacturersModelName SeriesDescription ProtocolName StudyDescription CoilString TaskName',
].flatMap((line) => line.split(' '));

async function bids(root: string): Promise<void> {
  const subject = `sub-${PLANTED.family}ova`;
  const anat = join(root, subject, `ses-${PLANTED.day}`, 'anat');
  await mkdir(anat, { recursive: true });
  const name = `${subject}_ses-${PLANTED.day}_acq-${PLANTED.place}_T2w`;
  await writeFile(join(anat, `${name}.nii.gz`), gzipSync(writeNifti(image([40, 36, 8], 4), { gzip: false })));
  const sidecar = Object.fromEntries(KEYS.map((key) => [key, `t2 ${PLANTED.family}ova ${PLANTED.number}`]));
  await writeFile(
    join(anat, `${name}.json`),
    JSON.stringify({
      ...sidecar,
      AcquisitionDateTime: `${PLANTED.isoDay}T03:17:33`,
      ImageType: [PLANTED.family],
    }),
  );
  await writeFile(
    join(root, 'dataset_description.json'),
    JSON.stringify({ Name: NAME, BIDSVersion: '1.10.0', Authors: [`${PLANTED.given} ${PLANTED.family}ova`] }),
  );
  await writeFile(
    join(root, 'participants.tsv'),
    `participant_id\tname\tage\tsex\tbirth\n${subject}\t${PLANTED.family}ova\t47\tF\t${PLANTED.isoDay}\n`,
  );
}
