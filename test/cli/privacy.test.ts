/** Values planted in headers, comments and paths must not be found in any byte of runs, models, logs or the index. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from '@lancedb/lancedb';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { newUid } from '../../src/formats/dicom/index.js';
import { openModel } from '../../src/models/model-file.js';
import { simulateStudy } from '../../src/simulate/index.js';
import { dicom, filesUnder } from '../corpus/made.js';
import { CHEAP, MAY_ALL, precess, precessIn, workFolder } from './command.js';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const PLANTED = {
  family: 'Zworykinova',
  given: 'Vladlena',
  id: 'PID-7734501',
  birth: '19610402',
  birthWritten: '02.04.1961',
  accession: 'ACC998877',
  studyUid: newUid('secret study'),
  seriesUid: newUid('secret series'),
  frameOfReferenceUid: newUid('secret frame'),
  studyDate: '20110707',
  place: 'Quellenhofklinik',
  folder: 'Zworykinova_Vladlena',
} as const;
const FINDING = 'Small lesion in the left peripheral zone.';

let dir = '';
let corpus = '';
let runs: string[] = [];
/** All that the commands said on the way. */
let said = '';

beforeAll(async () => {
  dir = await workFolder();
  corpus = join(dir, 'corpus');
  const source = join(dir, PLANTED.folder, PLANTED.id);
  const { series } = simulateStudy({ seed: 3, patient: 0, size: 'tiny', series: 2 });
  for (const [n, { volume }] of series.entries())
    await dicom(
      join(source, `${PLANTED.family}-${n}`),
      {
        patientName: `${PLANTED.family}^${PLANTED.given}`,
        patientId: PLANTED.id,
        birthDate: PLANTED.birth,
        accessionNumber: PLANTED.accession,
        studyUid: PLANTED.studyUid,
        seriesUid: `${PLANTED.seriesUid}.${n}`,
        frameOfReferenceUid: PLANTED.frameOfReferenceUid,
        studyDate: PLANTED.studyDate,
        manufacturer: `SIEMENS ${PLANTED.place}`,
        studyDescription: `Prostate ${PLANTED.family}`,
        seriesDescription: `t2_tse_tra ${PLANTED.family} ${PLANTED.id} ${PLANTED.place}`,
        protocolName: `t2_tse ${PLANTED.given}`,
        comments:
          `Ms. ${PLANTED.family}, ${PLANTED.given} (born ${PLANTED.birthWritten}, ${PLANTED.id}), accession ` +
          `${PLANTED.accession}: ${FINDING} Compared with ${PLANTED.studyDate}. Study ${PLANTED.studyUid}. `,
      },
      volume,
    );
  runs = [join(dir, 'pre'), join(dir, 'aligned')];
  const training = ['--corpus', corpus, '--steps', '2', ...CHEAP];
  for (const args of [
    ['ingest', source, '--corpus', corpus, '--rights', MAY_ALL],
    ['pretrain', '--run', runs[0]!, ...training],
    ['align', '--run', runs[1]!, '--from', runs[0]!, ...training],
    ['index', '--corpus', corpus, '--model', runs[1]!, '--threads', '1'],
    ['search', '--corpus', corpus, '--text', 'lesion of the prostate', '--threads', '1', '--json'],
    ['describe', join(source, `${PLANTED.family}-0`), '--corpus', corpus, '--threads', '1', '--json'],
    ['embed', join(source, `${PLANTED.family}-0`), '--model', runs[1]!, '--threads', '1', '--json'],
  ]) {
    said += await run(...args);
  }
});

async function run(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await precess(...args);
  expect(code, stderr).toBe(0);
  return stdout + stderr;
}

function expectClean(bytes: Buffer, where: string): void {
  // Lower case, as Latin-1 and as UTF-16, so that no encoding hides a name.
  const plain = bytes.toString('latin1').toLowerCase();
  for (const value of Object.values(PLANTED)) {
    const text = value.toLowerCase();
    expect(plain.includes(text), `${value} in ${where}`).toBe(false);
    const wide = Buffer.from(text, 'utf16le').toString('latin1');
    expect(plain.includes(wide), `${value} (UTF-16) in ${where}`).toBe(false);
  }
}

describe('what training and indexing leave behind', () => {
  it('holds the finding but nothing that identifies, in any file or file name', async () => {
    const files = (await Promise.all([corpus, ...runs].map(filesUnder))).flat();
    const names = files.map((file) => file.slice(dir.length));
    for (const name of ['/pre/config.json', '/aligned/metrics.jsonl', '/corpus/index/model.safetensors'])
      expect(names).toContain(name);
    expect(names.filter((name) => name.endsWith('state.safetensors'))).toHaveLength(2);
    for (const file of files) expectClean(await readFile(file), file);
    expectClean(Buffer.from(names.join('\n')), 'the names of files');
  });

  it('runs say nothing of where the corpus and the sources were', async () => {
    for (const folder of [...runs, join(corpus, 'index')])
      for (const file of await filesUnder(folder))
        expect((await readFile(file)).includes(dir), `a path in ${file}`).toBe(false);
  });

  it('the words of the tokenizer and the texts of the index are the cleaned ones', async () => {
    const { tokenizer } = await openModel(runs[1]!);
    const words = Object.keys(tokenizer!.model.vocab);
    expect(words).toContain('lesion');
    expectClean(Buffer.from(words.map((word) => word.replace(/^##/, '')).join('')), 'the vocabulary, joined');
    const piecesOfNames = words
      .map((word) => word.replace(/^##/, '').toLowerCase())
      .filter((word) => word.length > 3)
      .filter((word) =>
        [PLANTED.family, PLANTED.given, PLANTED.place].some((name) => name.toLowerCase().includes(word)),
      );
    expect(piecesOfNames).toEqual([]);
    const db = await connect(join(corpus, 'index'));
    const rows = (await (await db.openTable('texts')).query().select(['text']).toArray()) as {
      text: string;
    }[];
    db.close();
    const texts = rows.map(({ text }) => text).join('\n');
    expect(texts).toContain(FINDING);
    expectClean(Buffer.from(texts), 'the texts of the index');
  });

  it('the commands say nothing identifying either', () => {
    expect(said).toContain(FINDING);
    expectClean(Buffer.from(said), 'what the commands printed');
  });

  it('neither training nor searching leaves anything in the home or temporary folder', async () => {
    // ONNX Runtime's builds would keep a device id and a queue of reports to be sent there.
    const home = join(dir, 'home');
    await mkdir(join(home, 'tmp'), { recursive: true });
    const env = { PATH: process.env.PATH, HOME: home, TMPDIR: join(home, 'tmp') };
    const training = ['--corpus', corpus, '--run', join(dir, 'at-home'), '--steps', '1', ...CHEAP];
    for (const args of [
      ['pretrain', ...training],
      ['search', '--corpus', corpus, '--text', 'lesion', '--threads', '1'],
    ])
      expect((await precessIn(env, ...args)).code).toBe(0);
    expect(await filesUnder(home)).toEqual([]);
  });

  it('the search finds the values in what went in, so that it can fail', async () => {
    const [file] = await filesUnder(join(dir, PLANTED.folder));
    const bytes = await readFile(file!);
    expect(() => expectClean(bytes, 'the source')).toThrow(/in the source/);
    expect(() => expectClean(Buffer.from('x vladlena', 'utf16le'), 'wide')).toThrow(/UTF-16/);
  });
});
