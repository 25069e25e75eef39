/** PS3.15 annex E on whole files: planted values go, what the options keep stays, and the files are valid DICOM. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { deidentifyDicom } from '../../src/corpus/deidentify/dicom.js';
import { daysBack, movedDate, movedTime, uidFor } from '../../src/corpus/deidentify/keyed.js';
import { readTree } from '../../src/formats/dicom/tree.js';
import { hasCommand } from '../data.js';
import { dicom, folder } from './made.js';

const key = Buffer.alloc(32, 7);
const planted = (name: string): Buffer =>
  readFileSync(new URL(`../fixtures/corpus/planted/${name}.dcm`, import.meta.url));
const NEEDLES = [
  'zworykin',
  'vladlena',
  '7734501',
  '19610402',
  '02.04.1961',
  '031733',
  'quellenhof',
  '20110707',
];

function occurring(bytes: Uint8Array): string[] {
  const plain = Buffer.from(bytes).toString('latin1').toLowerCase();
  return NEEDLES.filter(
    (needle) => plain.includes(needle) || plain.includes(Buffer.from(needle, 'utf16le').toString('latin1')),
  );
}

/** Text of an element at the root, by its tag. */
function values(bytes: Uint8Array): (tag: number) => string | undefined {
  const tree = readTree(bytes, 'made');
  return (tag) => {
    const node = tree.nodes.find((one) => one.tag === tag);
    return node && tree.text(node);
  };
}

describe('de-identified DICOM', () => {
  it.each(['explicit', 'implicit', 'big'])('holds no planted value (%s)', (name) => {
    // The search can fail: everything is in the original.
    expect(occurring(planted(name))).toEqual(NEEDLES);
    for (const options of [
      {},
      { cleanDescriptions: false, modifiedDates: false, deviceIdentity: false, safePrivate: false },
    ])
      expect(occurring(deidentifyDicom(planted(name), key, options))).toEqual([]);
  });

  it('keeps device identity and characteristics only where it is told to', () => {
    const serial = 0x00181000;
    const sex = 0x00100040;
    const none = values(deidentifyDicom(planted('explicit'), key, { deviceIdentity: false }));
    expect(none(serial)).toBeUndefined();
    expect(none(sex)).toBe('');
    const file = Buffer.from(planted('explicit').toString('latin1'), 'latin1');
    const kept = values(deidentifyDicom(file, key, { patientCharacteristics: true }));
    // Age is kept, and a code string that is the patient's name is not.
    expect(kept(0x00101010)).toBe('047Y');
    expect(kept(sex)).toBe('');
  });

  it('says what was done, with the codes of CID 7050', () => {
    const bytes = deidentifyDicom(planted('implicit'), key, { patientCharacteristics: true });
    const of = values(bytes);
    expect(of(0x00120062)).toBe('YES');
    expect(of(0x00280303)).toBe('MODIFIED');
    const tree = readTree(bytes, 'made');
    const codes = tree.nodes.find(({ tag }) => tag === 0x00120064)!.items!;
    expect(codes.map((item) => tree.text(item[0]!))).toEqual([
      '113100',
      '113105',
      '113107',
      '113108',
      '113109',
      '113111',
    ]);
    expect(values(deidentifyDicom(planted('implicit'), key, { modifiedDates: false }))(0x00280303)).toBe(
      'REMOVED',
    );
  });

  it('keeps the words of imaging, the distances of dates, safe private numbers and the pixels', () => {
    const bytes = deidentifyDicom(planted('explicit'), key);
    const of = values(bytes);
    expect(of(0x0008103e)).toMatch(/t2 tse/);
    expect(of(0x00204000)).toMatch(/^Lesion in the left peripheral zone\./);
    const day = (text: string): number =>
      Date.UTC(Number(text.slice(0, 4)), Number(text.slice(4, 6)) - 1, Number(text.slice(6))) / 86_400_000;
    const [study, series] = [day(of(0x00080020)!), day(of(0x00080021)!)];
    expect(series - study).toBe(2);
    expect(day('20110707') - study).toBeGreaterThanOrEqual(1);
    expect(day('20110707') - study).toBeLessThanOrEqual(365);
    expect(of(0x00080030)).toBe('120000');
    expect(of(0x0019100c)).toBe('800');
    expect(of(0x0019100a)).toBeUndefined();
    expect(of(0x00191015)).toBeUndefined();
    for (const name of ['explicit', 'big']) {
      const pixels = readTree(deidentifyDicom(planted(name), key), name).nodes.find(
        ({ tag }) => tag === 0x7fe00010,
      )!;
      const view = new DataView(pixels.value!.buffer, pixels.value!.byteOffset);
      expect(Array.from({ length: 16 }, (_, n) => view.getUint16(2 * n, true))).toEqual(
        Array.from({ length: 16 }, (_, n) => n * 100),
      );
    }
  });

  it('maps a UID to the same one wherever it stands, and to another under another key', () => {
    const of = values(deidentifyDicom(planted('explicit'), key));
    const uid = uidFor(key, '1.2.826.7734501.2');
    expect(of(0x0020000d)).toBe(uid);
    expect(uid).toMatch(/^2\.25\.[1-9]\d{20,38}$/);
    expect(uidFor(Buffer.alloc(32, 8), '1.2.826.7734501.2')).not.toBe(uid);
    expect(of(0x00080016)).toBe('1.2.840.10008.5.1.4.1.1.4');
  });

  it('moves dates and times by the calendar', () => {
    expect(movedDate('20120301', 1)).toBe('20120229');
    expect(movedDate('2012.01.01', 365)).toBe('20110101');
    expect(movedDate('20110230', 1)).toBe('');
    expect(movedDate('Zworykinova', 1)).toBe('');
    expect(movedTime('031805.25', '031733')).toBe('120032.25');
    expect(movedTime('000010', '235950')).toBe('120020');
    expect(movedTime('0317', '0300')).toBe('121700');
    const shifts = new Set(Array.from({ length: 200 }, (_, n) => daysBack(key, `pt-${n}`)));
    expect(Math.min(...shifts)).toBeGreaterThanOrEqual(1);
    expect(Math.max(...shifts)).toBeLessThanOrEqual(365);
    expect(shifts.size).toBeGreaterThan(120);
  });

  it.skipIf(!hasCommand('dciodvfy'))('is as valid for dciodvfy as the original', async () => {
    const dir = await folder();
    const [file] = await dicom(join(dir, 'in'));
    const out = join(dir, 'out.dcm');
    await writeFile(out, deidentifyDicom(readFileSync(file!), key));
    expect(errorsOf(out)).toEqual(errorsOf(file!));
  });
});

/** dciodvfy reports on stderr and by its exit status. */
function errorsOf(path: string): string[] {
  let text: string;
  try {
    text = execFileSync('sh', ['-c', 'dciodvfy "$0" 2>&1', path], { encoding: 'utf8' });
  } catch (error) {
    text = (error as { stdout: string }).stdout;
  }
  return text.split('\n').filter((line) => line.startsWith('Error'));
}
