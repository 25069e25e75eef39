/**
 * Reports: read from DICOM (documents made by pydicom), tables and text files, matched to studies, cleaned. What is
 * expected is what was written into the sources.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { CorpusError } from '../../src/corpus/index.js';
import { daysOf } from '../../src/corpus/reports/found.js';
import {
  type FoundReport,
  matchReports,
  parseColumns,
  parseRules,
  readReports,
  reportText,
  storedReport,
  type StudyKeys,
} from '../../src/corpus/reports/index.js';
import { folder } from './made.js';

const documents = fileURLToPath(new URL('../fixtures/corpus/reports', import.meta.url));

const study = (over: Partial<StudyKeys>): StudyKeys => ({
  studyId: 'st-1',
  accession: '',
  studyUid: '',
  patient: '',
  date: '',
  paths: [],
  ...over,
});
const report = (over: Partial<FoundReport['keys']>, findings = 'Normal.', shown = 'r'): FoundReport => ({
  keys: { accession: '', studyUid: '', patient: '', dates: [], path: '', ...over },
  sections: { findings, impression: '', other: '' },
  identifying: [],
  shown,
});
const ids = ({ byStudy }: { byStudy: ReadonlyMap<string, FoundReport> }): string[] => [...byStudy.keys()];

describe('structured reports', () => {
  it('gives sections by their concept codes, with codes and measurements', async () => {
    const { found } = await readReports([join(documents, 'comprehensive.dcm')]);
    expect(found).toHaveLength(1);
    expect(found[0]!.sections).toEqual({
      findings:
        'Disc protrusion at L4/L5 in the patient Grünwald.\nFinding: Spinal stenosis.\nLength: 12.5 mm.',
      impression: 'Protrusion with spinal stenosis.',
      other: 'Back pain since a fall.',
    });
    expect(found[0]!.keys).toEqual({
      accession: 'A-1',
      studyUid: '1.2.826.0.1.3680043.8.498.1001',
      patient: 'PAT-77',
      dates: ['20210304'],
      path: '',
    });
    expect(found[0]!.identifying).toEqual(expect.arrayContaining(['Hannelore', 'PAT-77', 'Quast']));
  });

  it('takes one text apart by its headings, in implicit VR and Latin-1', async () => {
    const { found } = await readReports([join(documents, 'basic-text.dcm')]);
    expect(found[0]!.sections).toEqual({
      findings: 'Große Zyste der Niere.',
      impression: 'Nierenzyste links unverändert.',
      other: '',
    });
  });

  it('says why a document is left out', async () => {
    const { found, skipped } = await readReports([documents]);
    expect(found).toHaveLength(2);
    expect(skipped.map(({ reason }) => reason)).toEqual(['an encapsulated PDF; export its text']);
  });

  it('stores nothing of a person', async () => {
    const { found } = await readReports([documents]);
    for (const one of found) {
      const stored = JSON.stringify(storedReport(one, []));
      expect(stored).not.toMatch(/Gr(ü|u)nwald|Hannelore|Quast|Ottokar|PAT-77|19500102/i);
      expect(stored).toMatch(/Protrusion|Nierenzyste/);
    }
  });
});

describe('tables', () => {
  const table = async (
    name: string,
    content: string | Buffer,
    columns = {},
  ): ReturnType<typeof readReports> => {
    const path = join(await folder(), name);
    await writeFile(path, content);
    return readReports([path], columns);
  };

  it.each([
    ['reports.csv', 'Accession Number,Report\nA-1,"FINDINGS: Cyst, 3.5 mm.\nIMPRESSION: ""Benign"" cyst."\n'],
    [
      'reports.tsv',
      'AccessionNumber\tReport_Text\nA-1\tFINDINGS: Cyst, 3.5 mm. IMPRESSION: "Benign" cyst.\n',
    ],
    ['reports.csv', '\uFEFFacc_no;findings;impression\nA-1;Cyst, 3.5 mm.;"""Benign"" cyst."\n'],
    [
      'r.jsonl',
      '{"accession":"A-1","report":{"findings":"Cyst, 3.5 mm.","impression":"\\"Benign\\" cyst."}}\n',
    ],
    ['r.json', '[{"accession":"A-1","findings":"Cyst, 3.5 mm.","impression":"\\"Benign\\" cyst."}]'],
  ])('%s', async (name, content) => {
    const { found, skipped } = await table(name, content);
    expect(skipped).toEqual([]);
    expect(found).toHaveLength(1);
    expect(found[0]!.keys.accession).toBe('A-1');
    expect(found[0]!.sections).toEqual({
      findings: 'Cyst, 3.5 mm.',
      impression: '"Benign" cyst.',
      other: '',
    });
  });

  it('reads Latin-1', async () => {
    const { found } = await table('r.csv', Buffer.from('mrn;Befund\nP1;Größe regelrecht.\n', 'latin1'));
    expect(found[0]!.sections.findings).toBe('Größe regelrecht.');
    expect(found[0]!.keys.patient).toBe('P1');
  });

  it('takes columns by name where they are given', async () => {
    const columns = parseColumns('accession=Order,text=Notes');
    const { found } = await table('r.csv', 'Order,Report,Notes\n77,wrong,A cyst.\n', columns);
    expect(found[0]).toMatchObject({ keys: { accession: '77' }, sections: { findings: 'A cyst.' } });
    await expect(table('r.csv', 'A,Report\n1,x\n', columns)).rejects.toThrow(/Order.*A, Report/);
    expect(() => parseColumns('colour=Red')).toThrow(CorpusError);
  });

  it('remembers the people of a row, so that they are taken out of the text', async () => {
    const { found } = await table(
      'r.csv',
      'accession,Patient Name,Referring Physician,DOB,report\nA-1,"Doe, Jolanthe",Kowalke,1950-01-02,Cyst in Jolanthe since long. Kowalke was told.\n',
    );
    const stored = storedReport(found[0]!, []);
    expect(JSON.stringify(stored)).not.toMatch(/Jolanthe|Kowalke|Doe|1950/);
    expect(stored!.findings).toMatch(/Cyst in since long/);
  });

  it('says which columns there are where none holds a report, and counts rows without text', async () => {
    const none = await table('r.csv', 'a,b\n1,2\n');
    expect(none.skipped[0]!.reason).toMatch(/no column holds a report \(there are a, b\)/);
    const some = await table('r.csv', 'accession,report\n1,\n2,A cyst.\n');
    expect(some.found).toHaveLength(1);
    expect(some.skipped[0]!.reason).toBe('1 of 2 rows have no text');
  });

  it('lists what is broken and goes on', async () => {
    const dir = await folder();
    await writeFile(join(dir, 'bad.json'), '{"report": ');
    await writeFile(join(dir, 'good.txt'), 'A cyst.');
    await writeFile(join(dir, 'other.bin'), Buffer.alloc(500, 7));
    const { found, skipped } = await readReports([dir]);
    expect(found).toHaveLength(1);
    expect(skipped).toHaveLength(2);
  });
});

describe('text files', () => {
  it('are found by their name or by lines of their own, which are no part of the text', async () => {
    const dir = await folder();
    await mkdir(join(dir, 'p1'));
    await writeFile(join(dir, 'p1', 'A-9.txt'), 'FINDINGS: A cyst.\nIMPRESSION: Benign.');
    await writeFile(
      join(dir, 'p1', 'x.txt'),
      'Accession number: A-10\nMRN: 4711\nStudy date: 04.03.2021\n\nA second cyst.',
    );
    const { found } = await readReports([dir]);
    const [named, labelled] = found;
    expect(named!.keys).toMatchObject({ accession: 'A-9', path: join('p1', 'A-9') });
    expect(labelled!.keys).toMatchObject({ accession: 'A-10', patient: '4711', dates: ['20210304'] });
    expect(labelled!.sections.findings).toBe('A second cyst.');
  });
});

describe('daysOf', () => {
  it.each([
    ['20210304', ['20210304']],
    ['2021-03-04', ['20210304']],
    ['2021-03-04T10:15:00', ['20210304']],
    ['4.3.2021', ['20210304']],
    ['25/12/2021', ['20211225']],
    ['12/25/2021', ['20211225']],
    ['03/04/2021', ['20210403', '20210304']],
    ['yesterday', []],
    ['', []],
  ])('%s', (text, days) => expect(daysOf(text)).toEqual(days));
});

describe('matchReports', () => {
  it('tries accession, study, patient and path in turn', () => {
    const studies = [
      study({ studyId: 'st-1', accession: 'A-1', patient: 'P' }),
      study({ studyId: 'st-2', studyUid: '1.2.3', patient: 'P' }),
      study({ studyId: 'st-3', patient: 'Q', date: '20210304' }),
      study({ studyId: 'st-4', patient: 'Q', date: '20220101' }),
      study({ studyId: 'st-5', paths: ['/data/case5/t2.nii.gz'] }),
    ];
    const matched = matchReports(
      [
        report({ accession: ' a-1 ' }, 'one'),
        report({ studyUid: '1.2.3' }, 'two'),
        report({ patient: 'Q', dates: ['20210403', '20210304'] }, 'three'),
        report({ path: 'case5/t2' }, 'five'),
      ],
      studies,
    );
    const findings = Object.fromEntries([...matched.byStudy].map(([id, one]) => [id, one.sections.findings]));
    expect(findings).toEqual({ 'st-1': 'one', 'st-2': 'two', 'st-3': 'three', 'st-5': 'five' });
    expect([matched.unmatched, matched.ambiguous]).toEqual([[], []]);
  });

  it('lists what fits no study, several studies, or a study that has another report', () => {
    const studies = [
      study({ studyId: 'st-1', patient: 'P', accession: 'A-1' }),
      study({ studyId: 'st-2', patient: 'P' }),
    ];
    const matched = matchReports(
      [
        report({ patient: 'P' }, 'x', 'two studies'),
        report({ accession: 'A-7' }, 'x', 'none'),
        report({ accession: 'A-1' }, 'x', 'first'),
        report({ accession: 'A-1' }, 'y', 'second'),
      ],
      studies,
    );
    expect(ids(matched)).toEqual([]);
    expect(matched.unmatched.map(({ path }) => path)).toEqual(['none']);
    expect(matched.ambiguous.map(({ path }) => path)).toEqual(['two studies', 'first', 'second']);
  });

  it('takes the same report twice for one', () => {
    const twice = [report({ accession: 'A-1' }, 'x'), report({ accession: 'A-1' }, 'x')];
    expect(ids(matchReports(twice, [study({ accession: 'A-1' })]))).toEqual(['st-1']);
  });

  it('follows a path template', () => {
    const rules = parseRules('path:{folder2}/{folder}');
    const studies = [
      study({ paths: ['/d/sub-01/ses-2/t1.nii.gz'] }),
      study({ studyId: 'st-2', paths: ['/d/sub-02/ses-2/t1.nii.gz'] }),
    ];
    expect(ids(matchReports([report({ path: 'sub-02/ses-2' })], studies, rules))).toEqual(['st-2']);
    expect(() => parseRules('path:{nothing}')).toThrow(CorpusError);
    expect(() => parseRules('path:fixed')).toThrow(CorpusError);
    expect(() => parseRules('name')).toThrow(/accession, study, patient or path/);
  });
});

describe('storedReport', () => {
  it('cleans each section, and its text begins with the impression', () => {
    const found = {
      ...report({}),
      sections: {
        findings: '1. Cyst of the left kidney\n2. Liver of Mrs. Doe is normal, 3.5 mm slices',
        impression: 'Benign cyst of the kidney, seen on 04.03.2021.',
        other: '',
      },
    };
    const stored = storedReport(found, ['DOE^JANE'])!;
    expect(stored.impression).toMatch(/^Benign cyst of the kidney/);
    expect(JSON.stringify(stored)).not.toMatch(/Doe|2021/);
    expect(reportText(stored)).toMatch(
      /^Benign cyst .* Cyst of the left kidney\. Liver of .* 3\.5 mm slices\.$/,
    );
  });

  it('keeps a section of one word', () => {
    expect(storedReport(report({}, 'Normal'), [])).toEqual({
      findings: 'Normal.',
      impression: '',
      other: '',
    });
  });

  it('is null where nothing is left', () => {
    expect(storedReport(report({}, 'Jane Doe'), ['DOE^JANE'])).toBeNull();
  });
});
