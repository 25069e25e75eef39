/** Plans the series of DICOM files. */
import { type DicomInstance, type DicomSeries, groupSeries } from '../formats/dicom/index.js';
import type { HeaderFields } from '../text/header.js';
import { MOST_REPEATS, type Plan } from './plan.js';
import type { Series } from './series.js';
import { dicomPatient, type Pseudonyms, tellingPatientId } from './pseudonym.js';
import { plainSeries } from './voxel-source.js';
import type { SourceFile } from './walk.js';

export interface FoundInstance {
  readonly instance: DicomInstance;
  readonly file: SourceFile;
}

/** Groups the instances and adds their series to the plan. `sources` are the pseudonyms of the sources. */
export function planDicom(
  found: readonly FoundInstance[],
  pseudonyms: Pseudonyms,
  sources: readonly string[],
  plan: Plan,
  everyVolume: boolean,
): void {
  const fileOf = new Map(found.map(({ instance, file }) => [instance.path, file]));
  const shown = (path: string): string => fileOf.get(path)!.shown;
  // In an order that no renaming or moving of files changes, because parts of a series are numbered in it.
  const key = (i: DicomInstance): string =>
    `${i.seriesUid}/${String(i.instanceNumber ?? 0).padStart(8, '0')}/${i.sopInstanceUid}`;
  const instances = found
    .map(({ instance }) => instance)
    .map((instance) => ({ instance, key: key(instance) }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ instance }) => instance);
  const { series, skipped } = groupSeries(instances);
  for (const { path, reason } of skipped) plan.skipped.push({ path: shown(path), reason });

  const kept = everyVolume
    ? series
    : withoutRepeats(series, (first, count) =>
        plan.notes.push({
          path: shown(first.header.path),
          reason: `kept the first of ${count} repeated volumes`,
        }),
      );
  for (const one of kept) {
    const { header } = one;
    plan.planned.push({
      id: pseudonyms.series('dicom', one.seriesUid, one.part),
      studyId: pseudonyms.study('dicom', one.studyUid),
      patientId: dicomPatient(pseudonyms, header.patientId, one.studyUid),
      source: sources[fileOf.get(header.path)!.source]!,
      fields: fieldsOf(header),
      comments: header.imageComments,
      identifying: { kind: 'dicom', path: header.path },
      instances: one.slices.length,
      missingSlices: one.missingSlices,
      shown: shown(header.path),
      voxels: { kind: 'dicom', series: plainSeries(one) },
      name: '',
      sex: header.sex === 'F' || header.sex === 'M' || header.sex === 'O' ? header.sex : null,
      ageYears: header.age,
      axes: storedAxes(one),
      date: header.studyDate,
      keys: {
        accession: header.accessionNumber,
        studyUid: header.studyUid,
        patient: tellingPatientId(header.patientId),
        date: header.studyDate,
        path: header.path,
      },
    });
  }
}

/** Axes along which one image is repeated. */
const REPEATING = new Set(['direction', 'time', 'trigger', 'acquisition', 'repetition']);

/** The axes as a row keeps them: image types and names of sequences are free text, so that only their places are kept. */
const storedAxes = ({ axes }: DicomSeries): Series['axes'] =>
  axes.map(({ name, value, index, count }) => ({
    name,
    value: name === 'image type' || name === 'sequence' ? null : value,
    index,
    count,
  }));

/**
 * Of a series in more than MOST_REPEATS volumes that differ only by time, direction, trigger or acquisition
 * (functional, perfusion, cine, diffusion directions) the first is kept: hundreds of copies of one image would
 * outweigh everything else in a corpus.
 */
function withoutRepeats(
  series: readonly DicomSeries[],
  note: (first: DicomSeries, count: number) => void,
): DicomSeries[] {
  const groups = new Map<string, DicomSeries[]>();
  for (const one of series) {
    const kept = one.axes.filter(({ name }) => !REPEATING.has(name));
    const key = [one.studyUid, one.seriesUid, ...kept.map(({ name, value }) => `${name} ${value}`)].join('/');
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()].flatMap((group) => {
    if (group.length <= MOST_REPEATS) return group;
    note(group[0]!, group.length);
    return [group[0]!];
  });
}

function fieldsOf(header: DicomInstance): HeaderFields {
  return {
    seriesDescription: header.seriesDescription,
    protocolName: header.protocolName,
    studyDescription: header.studyDescription,
    sequenceName: header.sequenceName,
    bodyPartExamined: header.bodyPartExamined,
    imageType: header.imageType,
    scanningSequence: header.scanningSequence.split('\\').map((value) => value.trim()),
    scanOptions: header.scanOptions,
    acquisitionType: header.mrAcquisitionType,
    echoTime: header.echoTime,
    repetitionTime: header.repetitionTime,
    inversionTime: header.inversionTime,
    flipAngle: header.flipAngle,
    bValue: header.diffusionBValue,
    fieldStrengthT: header.fieldStrengthT,
    manufacturer: header.manufacturer,
    contrastAgent: header.contrastAgent,
    names: [],
  };
}
