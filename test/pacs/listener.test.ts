/** The storage listener against dcmtk and Orthanc as senders, and against peers that mean no good. */
import { execFile, spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { groupSeries, loadSeries, newUid, readDicomHeader } from '../../src/formats/dicom/index.js';
import { mountBytes, unmountBytes } from '../../src/formats/bytes.js';
import { type ListenOptions, PacsError, type ReceivedSeries, StorageListener } from '../../src/pacs/index.js';
import { Stream } from '../../src/simulate/index.js';
import { dicom, folder, image } from '../corpus/made.js';
import { hasCommand, skipped } from '../data.js';
import { freePort, hasOrthanc, NO_ORTHANC, startOrthanc } from './orthanc.js';

const run = promisify(execFile);
const listeners: StorageListener[] = [];
afterEach(async () => {
  for (const one of listeners.splice(0)) await one.close();
});

async function listen(options: Partial<ListenOptions> = {}): Promise<StorageListener> {
  const listener = await StorageListener.start({ port: 0, aet: 'PRECESS', quietMs: 300, ...options });
  listeners.push(listener);
  return listener;
}

/** Runs a dcmtk tool against the listener; its exit status and all that it said. */
async function dcmtk(
  listener: StorageListener,
  tool: string,
  options: readonly string[],
  files: readonly string[] = [],
): Promise<{ status: number; said: string }> {
  try {
    const peer = ['127.0.0.1', String(listener.port)];
    const done = await run(tool, ['-v', '-aec', 'PRECESS', ...options, ...peer, ...files]);
    return { status: 0, said: done.stdout + done.stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { status: code, said: stdout + stderr };
  }
}

const push = (listener: StorageListener, files: readonly string[], ...options: string[]) =>
  dcmtk(listener, 'storescu', options, files);

async function next(listener: StorageListener): Promise<ReceivedSeries> {
  const step = await listener.series().next();
  if (step.done === true) throw new Error('the listener ended');
  return step.value;
}

/** Transfer Syntax UID (0002,0010) of the first file, found by its tag. */
function syntaxOf({ files }: ReceivedSeries): string {
  const bytes = Buffer.from(files[0]!);
  const at = bytes.indexOf(Buffer.from([2, 0, 0x10, 0, 0x55, 0x49]));
  return bytes
    .subarray(at + 8, at + 8 + bytes.readUInt16LE(at + 6))
    .toString('latin1')
    .replace(/\0$/, '');
}

/** Stored voxels of the one series that the files make. */
async function voxels(paths: readonly string[]): Promise<number[]> {
  const { series, skipped: bad } = groupSeries(await Promise.all(paths.map((path) => readDicomHeader(path))));
  expect([series.length, bad.length]).toEqual([1, 0]);
  return [...(await loadSeries(series[0]!)).data];
}

async function voxelsOf({ files }: ReceivedSeries): Promise<number[]> {
  const paths = files.map((file, n) => mountBytes(file, String(n)));
  try {
    return await voxels(paths);
  } finally {
    paths.forEach((path) => unmountBytes(path));
  }
}

describe('the listener itself', () => {
  it('refuses AE titles that are none, and a port that is taken', async () => {
    for (const aet of ['', 'SEVENTEEN_LETTERS', 'A\\B', ' A'])
      await expect(StorageListener.start({ port: 0, aet })).rejects.toThrow(PacsError);
    const { port } = await listen();
    await expect(StorageListener.start({ port, aet: 'PRECESS' })).rejects.toThrow(
      /must be free, got EADDRINUSE/,
    );
  });

  it('ends when it is closed', async () => {
    const listener = await listen();
    const series = listener.series();
    const end = series.next();
    await listener.close();
    expect((await end).done).toBe(true);
  });

  it('outlives peers that send anything', async () => {
    const listener = await listen();
    const random = new Stream(7, 'fuzz', 0);
    // A-ASSOCIATE-RQ (PS3.8 section 9.3.2) with one context: verification in implicit VR little endian.
    const item = (type: number, value: Buffer): Buffer => {
      const head = Buffer.from([type, 0, 0, 0]);
      head.writeUInt16BE(value.length, 2);
      return Buffer.concat([head, value]);
    };
    const body = Buffer.concat([
      Buffer.from([0, 1, 0, 0]),
      Buffer.from('PRECESS'.padEnd(16) + 'FUZZ'.padEnd(16)),
      Buffer.alloc(32),
      item(0x10, Buffer.from('1.2.840.10008.3.1.1.1')),
      item(
        0x20,
        Buffer.concat([
          Buffer.from([1, 0, 0, 0]),
          item(0x30, Buffer.from('1.2.840.10008.1.1')),
          item(0x40, Buffer.from('1.2.840.10008.1.2')),
        ]),
      ),
      item(0x50, item(0x51, Buffer.from([0, 0, 64, 0]))),
    ]);
    const request = Buffer.concat([Buffer.from([1, 0, 0, 0, 0, body.length]), body]);
    const talk = (bytes: Buffer): Promise<void> =>
      new Promise((resolve) => {
        const socket = connect(listener.port, '127.0.0.1', () => socket.end(bytes));
        socket.on('error', () => resolve()).on('close', () => resolve());
        socket.resume();
      });
    for (let n = 0; n < 300; n++) {
      const bytes = Buffer.from(n % 3 === 0 ? Buffer.alloc(200) : Buffer.concat([request, Buffer.alloc(60)]));
      for (let m = 0; m < 1 + random.int(20); m++) bytes[random.int(bytes.length)] = random.int(256);
      await talk(bytes);
    }
    // A unit that claims 4 GiB, and units without end that never become a command.
    await talk(Buffer.concat([Buffer.from([4, 0, 0xff, 0xff, 0xff, 0xff]), Buffer.alloc(1000)]));
    const endless = Buffer.concat([Buffer.from([4, 0, 0, 0, 64, 6, 0, 0, 64, 2, 1, 1]), Buffer.alloc(16384)]);
    await talk(Buffer.concat([request, ...Array.from({ length: 400 }, () => endless)]));
    expect(listener.heldBytes).toBe(0);
    // It still speaks: the answer to a sound request is an A-ASSOCIATE-AC.
    const answer = await new Promise<number>((resolve, reject) => {
      const socket = connect(listener.port, '127.0.0.1', () => socket.write(request));
      socket.on('data', (data) => {
        socket.destroy();
        resolve(data[0]!);
      });
      socket.on('error', reject);
    });
    expect(answer).toBe(2);
  });
});

describe.skipIf(skipped(!hasCommand('storescu'), 'no storescu (Debian dcmtk)'))('pushed by dcmtk', () => {
  it('answers C-ECHO, to whom it knows only', async () => {
    const listener = await listen({ allowAets: ['SCANNER1'] });
    expect((await dcmtk(listener, 'echoscu', ['-aet', 'SCANNER1'])).status).toBe(0);
    const stranger = await dcmtk(listener, 'echoscu', ['-aet', 'STRANGER']);
    expect(stranger.status).not.toBe(0);
    expect(stranger.said).toMatch(/Calling AE Title Not Recognized/);
    const lost = await dcmtk(listener, 'echoscu', ['-aet', 'SCANNER1', '-aec', 'OTHER']);
    expect(lost.said).toMatch(/Called AE Title Not Recognized/);
    expect(listener.counts).toMatchObject({ associations: 1, refused: 2 });
  });

  it('takes series as they are and gives them when the association ends', async () => {
    const listener = await listen({ quietMs: 60_000 });
    const files = await dicom(await folder());
    expect((await push(listener, files)).status).toBe(0);
    const received = await next(listener);
    expect(received).toMatchObject({ studyUid: newUid('study 1'), seriesUid: newUid('series 1') });
    // The data set is byte for byte what was on the disk, behind the file meta information.
    const dataSet = (file: Uint8Array): string => {
      const bytes = Buffer.from(file);
      return bytes.subarray(144 + bytes.readUInt32LE(140)).toString('base64');
    };
    const sent = await Promise.all(files.map((file) => readFile(file)));
    expect(received.files.map(dataSet).sort()).toEqual(sent.map(dataSet).sort());
    expect(await voxelsOf(received)).toEqual(await voxels(files));
  });

  it.each([
    ['JPEG lossless', '1.2.840.10008.1.2.4.70', 'dcmcjpeg', '+e1'],
    ['RLE', '1.2.840.10008.1.2.5', 'dcmcrle', '-q'],
    ['JPEG-LS', '1.2.840.10008.1.2.4.80', 'dcmcjpls', '+el'],
  ])('takes %s as it is', async (_, syntax, tool, option) => {
    const files = await dicom(await folder());
    const before = await voxels(files);
    for (const file of files) expect(spawnSync(tool, [option, file, file]).status).toBe(0);
    const listener = await listen({ quietMs: 60_000 });
    expect((await dcmtk(listener, 'dcmsend', ['-dn'], files)).status).toBe(0);
    const received = await next(listener);
    expect(syntaxOf(received)).toBe(syntax);
    expect(await voxelsOf(received)).toEqual(before);
  });

  it.each([
    ['implicit little endian', '1.2.840.10008.1.2', '-xi'],
    ['explicit big endian', '1.2.840.10008.1.2.2', '-xb', '+tb'],
    ['deflated', '1.2.840.10008.1.2.1.99', '-xd'],
  ])('takes %s data sets', async (_, syntax, option, convert?) => {
    const files = await dicom(await folder());
    if (convert !== undefined)
      for (const file of files) expect(spawnSync('dcmconv', [convert, file, file]).status).toBe(0);
    const listener = await listen({ quietMs: 60_000 });
    expect((await push(listener, files, option, '-R')).status).toBe(0);
    const received = await next(listener);
    expect(syntaxOf(received)).toBe(syntax);
    expect(await voxelsOf(received)).toEqual(await voxels(files));
  });

  it('puts together a series of which every image comes in an association of its own', async () => {
    const listener = await listen({ quietMs: 1000 });
    const files = await dicom(await folder());
    for (const file of files) expect((await push(listener, [file])).status).toBe(0);
    const received = await next(listener);
    expect(received.files).toHaveLength(8);
  });

  it('tells series apart, and takes an instance that comes twice once', async () => {
    const listener = await listen({ quietMs: 60_000 });
    const dir = await folder();
    const first = await dicom(join(dir, '1'));
    const second = await dicom(join(dir, '2'), { seriesUid: newUid('series 2') }, image([40, 36, 8], 2));
    expect((await push(listener, [...first, ...second, ...first])).status).toBe(0);
    const got = [await next(listener), await next(listener)];
    expect(got.map(({ files }) => files.length)).toEqual([8, 8]);
    expect(got.map(({ seriesUid }) => seriesUid).sort()).toEqual(
      [newUid('series 1'), newUid('series 2')].sort(),
    );
  });

  it('refuses what has no room, and has room again when a series was taken', async () => {
    const files = await dicom(await folder());
    const { length } = await readFile(files[0]!);
    const listener = await listen({ mostBytes: Math.ceil(length * 5.5), quietMs: 60_000 });
    const full = await push(listener, files, '-nh');
    expect(full.said).toMatch(/Refused: Out of Resources|OutOfResources/i);
    expect(listener.counts).toMatchObject({ received: 5, failed: 3 });
    const series = listener.series();
    const part = (await series.next()).value as ReceivedSeries;
    expect(part.files).toHaveLength(5);
    void series.next();
    await new Promise((resolve) => setImmediate(resolve));
    expect(listener.heldBytes).toBe(0);
    expect((await push(listener, files.slice(5))).status).toBe(0);
  });

  it('drops what is neither image nor report with a warning, and does not take other modalities', async () => {
    const listener = await listen();
    const [file] = await dicom(await folder());
    const other = async (sopClass: string, modality: string): Promise<string> => {
      const path = join(await folder(), 'other.dcm');
      await writeFile(path, await readFile(file!));
      const set = ['-nb', '-m', `0008,0016=${sopClass}`, '-m', `0008,0060=${modality}`, path];
      expect(spawnSync('dcmodify', set).status).toBe(0);
      return path;
    };
    const capture = await other('1.2.840.10008.5.1.4.1.1.7', 'OT');
    const warned = await push(listener, [capture]);
    expect(warned.status).toBe(0);
    expect(warned.said).toMatch(/Warning: Elements Discarded|ElementsDiscarded/i);
    const ct = await push(listener, [await other('1.2.840.10008.5.1.4.1.1.2', 'CT')]);
    expect(ct.said).toMatch(/No Acceptable Presentation Contexts|No presentation context/i);
    expect(listener.counts).toMatchObject({ received: 0, dropped: 1 });
    expect(listener.heldBytes).toBe(0);
  });

  it('gives what has come when it is closed', async () => {
    const listener = await listen({ quietMs: 60_000 });
    const files = await dicom(await folder());
    await push(listener, [files[0]!]);
    const series = listener.series();
    await listener.close();
    expect(((await series.next()).value as ReceivedSeries).files).toHaveLength(1);
    expect((await series.next()).done).toBe(true);
  });

  it('lets go of an instance whose connection breaks', async () => {
    const listener = await listen();
    const big = await dicom(await folder(), {}, image([1024, 1024, 1]));
    const sender = execFile('storescu', [
      '-aec',
      'PRECESS',
      '-pdu',
      '4096',
      '127.0.0.1',
      String(listener.port),
      ...big,
    ]);
    while (listener.heldBytes === 0 && sender.exitCode === null)
      await new Promise((resolve) => setImmediate(resolve));
    sender.kill('SIGKILL');
    await new Promise((resolve) => sender.once('exit', resolve));
    for (let n = 0; n < 200 && listener.heldBytes > 0; n++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    // Where the instance got through before the kill, it is held as received.
    if (listener.counts.received === 0) expect(listener.heldBytes).toBe(0);
  });
});

describe.skipIf(skipped(!hasOrthanc(), NO_ORTHANC))('pushed by Orthanc', () => {
  it('receives a stored study', async () => {
    const port = await freePort();
    const pacs = await startOrthanc({ DicomModalities: { precess: ['PRECESS', '127.0.0.1', port] } });
    try {
      const listener = await listen({ port, quietMs: 60_000, allowAets: ['ORTHANC'] });
      const files = await dicom(await folder());
      const ids: string[] = [];
      for (const file of files)
        ids.push(((await pacs.rest('/instances', await readFile(file))) as { ID: string }).ID);
      expect(await pacs.rest('/modalities/precess/echo', '{}')).toEqual({});
      await pacs.rest('/modalities/precess/store', JSON.stringify(ids));
      // Orthanc keeps its association open for a while; the end of the listener closes it.
      void listener.close();
      expect(await voxelsOf(await next(listener))).toEqual(await voxels(files));
    } finally {
      await pacs.stop();
    }
  });
});
