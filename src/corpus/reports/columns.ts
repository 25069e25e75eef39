/** Which column or key of a table holds what, by the names that archives and hospitals give them. */
import { fold } from '../../text/terms.js';
import { CorpusError } from '../error.js';

export const COLUMN_ROLES = [
  'accession',
  'study',
  'patient',
  'date',
  'path',
  'text',
  'findings',
  'impression',
] as const;
export type ColumnRole = (typeof COLUMN_ROLES)[number];
export type Columns = Readonly<Partial<Record<ColumnRole, string>>>;

/** Names as plainName makes them: lower case letters only, accents gone. The first that a table has is taken. */
const NAMES: Readonly<Record<ColumnRole, readonly string[]>> = {
  accession: [
    ...[
      'accession',
      'accessionnumber',
      'accessionno',
      'accessionid',
      'accno',
      'acc',
      'accnum',
      'accnr',
      'anumber',
    ],
    ...[
      'zugangsnummer',
      'auftragsnummer',
      'untersuchungsnummer',
      'numeroaccession',
      'numerodaccession',
      'ordernumber',
    ],
  ],
  study: ['studyinstanceuid', 'studyuid', 'studyiuid', 'siuid', 'studyid', 'study'],
  patient: [
    ...[
      'patientid',
      'patid',
      'mrn',
      'pid',
      'patientnumber',
      'patient',
      'subjectid',
      'subject',
      'participantid',
      'sub',
    ],
    ...[
      'patientennummer',
      'patientennr',
      'idpatient',
      'idpaciente',
      'idpaziente',
      'ipp',
      'nhc',
      'patientnummer',
    ],
  ],
  date: [
    ...[
      'studydate',
      'examdate',
      'date',
      'scandate',
      'acquisitiondate',
      'proceduredate',
      'reportdate',
      'datum',
    ],
    ...['untersuchungsdatum', 'dateexamen', 'fecha', 'fechaestudio', 'dataesame', 'data', 'onderzoeksdatum'],
  ],
  path: [
    'path',
    'file',
    'filename',
    'filepath',
    'image',
    'imagepath',
    'imagefile',
    'nifti',
    'niftipath',
    'dicompath',
  ],
  text: [
    ...[
      'report',
      'reporttext',
      'text',
      'fullreport',
      'narrative',
      'reportbody',
      'radiologyreport',
      'body',
      'content',
    ],
    ...['befundtext', 'bericht', 'compterendu', 'texte', 'informe', 'texto', 'referto', 'testo', 'verslag'],
  ],
  findings: [
    'findings',
    'finding',
    'befund',
    'resultats',
    'hallazgos',
    'reperti',
    'bevindingen',
    'findingstext',
  ],
  impression: [
    ...[
      'impression',
      'impressions',
      'conclusion',
      'conclusions',
      'summary',
      'beurteilung',
      'zusammenfassung',
    ],
    ...['impresion', 'conclusiones', 'conclusioni', 'conclusie', 'impressiontext'],
  ],
};

/** Columns of people: their values are taken out of the text. */
const PEOPLE =
  /name|physician|doctor|radiolog|author|signed|birth|dob|address|phone|email|arzt|geburt|adresse|telefon|medecin|naissance|nombre|apellido|medico|nacimiento|nome|cognome|nascita|naam|geboorte|referr/;

const plainName = (name: string): string => fold(name).replace(/[^a-z]/g, '');

/**
 * Role → the table's own name of its column. `given` (from `--report-columns`) goes before what the names say.
 *
 * @throws CorpusError when a column that was given is not there.
 */
export function columnsOf(names: readonly string[], given: Columns, table: string): Columns {
  const found: Partial<Record<ColumnRole, string>> = {};
  const plain = names.map(plainName);
  for (const role of COLUMN_ROLES) {
    const wanted = given[role];
    if (wanted !== undefined) {
      const at = names.findIndex((name) => name.trim() === wanted);
      if (at < 0)
        throw new CorpusError(
          `reports: --report-columns names the column "${wanted}" for ${role}, but ${table} has ${names.join(', ')}; ` +
            'write the name as it is in the table',
        );
      found[role] = names[at]!;
      continue;
    }
    const taken = new Set(Object.values(found));
    const match = NAMES[role]
      .map((name) => plain.indexOf(name))
      .find((at) => at >= 0 && !taken.has(names[at]!));
    if (match !== undefined) found[role] = names[match]!;
  }
  return found;
}

export const isOfPeople = (name: string): boolean => PEOPLE.test(plainName(name));

/**
 * Reads "accession=Acc No,text=Bericht".
 *
 * @throws CorpusError naming the roles.
 */
export function parseColumns(text: string): Columns {
  const columns: Partial<Record<ColumnRole, string>> = {};
  for (const part of text.split(',')) {
    const at = part.indexOf('=');
    const role = COLUMN_ROLES.find((one) => one === part.slice(0, Math.max(at, 0)).trim());
    const name = part.slice(at + 1).trim();
    if (role === undefined || name === '')
      throw new CorpusError(
        `reports: columns must be "role=name,role=name" with roles of ${COLUMN_ROLES.join(', ')}, got "${part}"; ` +
          'write for instance "accession=Acc No,text=Report"',
      );
    columns[role] = name;
  }
  return columns;
}
