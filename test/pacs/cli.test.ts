/** `precess ingest` from a PACS, and as a listener. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { UsageError } from '../../src/cli/shared.js';
import type { Ingested } from '../../src/corpus/index.js';
import { run, written } from '../corpus/command.js';
import { dicom, folder, withCorpus } from '../corpus/made.js';
import { hasCommand, skipped } from '../data.js';
import { freePort, hasOrthanc, NO_ORTHANC, type Orthanc, PASSWORD, startOrthanc, USER } from './orthanc.js';

afterEach(() => vi.unstubAllEnvs());

describe('the command line', () => {
  it.each([
    [['--query', 'a=b', 'scans'], /--query belongs to a source dicomweb/],
    [['--aet', 'X', 'scans'], /--aet belongs to --listen/],
    [['--quiet-seconds', '5', 'dicomweb+https://h/x'], /--quiet-seconds belongs to --listen/],
    [['--listen', '1', 'scans'], /name no sources/],
    [['--listen', '1', '--query', 'a=b'], /--query belongs to a source/],
    [['--listen', '0', '--aet', 'much too long a title'], /AE title/],
    [['dicomweb+https://h/x', 'scans'], /one DICOMweb service at a time/],
    [['dicomweb+https://h/x', '--query', 'Modality=CT'], /only Modality=MR/],
    [['dicomweb+https://user:pw@h/x'], /no credentials/],
    [[], /name a source/],
  ])('is checked: %j', async (args, message) => {
    const failure = await run('ingest', '--corpus', await folder(), ...args).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(UsageError);
    expect((failure as Error).message).toMatch(message);
  });
});

describe.skipIf(skipped(!hasOrthanc(), NO_ORTHANC))('precess ingest dicomweb+http://…', () => {
  let pacs: Orthanc;
  beforeAll(async () => {
    pacs = await startOrthanc();
    for (const path of await dicom(await folder())) await pacs.rest('/instances', await readFile(path));
  });
  afterAll(() => pacs.stop());

  it('takes in what the query finds, once, and says nothing of whom', async () => {
    vi.stubEnv('PRECESS_DICOMWEB_USER', USER);
    vi.stubEnv('PRECESS_DICOMWEB_PASSWORD', PASSWORD);
    const corpus = await folder();
    const args = [
      'ingest',
      pacs.address,
      '--corpus',
      corpus,
      '--query',
      'Modality=MR&StudyDate=20110101-20111231',
    ];
    const first = await run(...args, '--json');
    expect(JSON.parse(first.stdout)).toMatchObject({ added: 1, present: 0, skipped: [] });
    const second = await run(...args);
    expect(second.stderr).toMatch(/0 added, 1 already there/);
    expect(first.stdout + first.stderr + second.stderr).not.toMatch(/2\.25\.|P-1|Test|secret/);
    await withCorpus(corpus, async (open) => expect(await open.list()).toHaveLength(1));
  });

  it('fails with a clear word where it may not', async () => {
    vi.stubEnv('PRECESS_DICOMWEB_USER', USER);
    vi.stubEnv('PRECESS_DICOMWEB_PASSWORD', 'wrong');
    await expect(run('ingest', pacs.address, '--corpus', await folder())).rejects.toThrow(
      /answered 40[13]: the credentials are missing or may not do this/,
    );
  });
});

describe.skipIf(skipped(!hasCommand('storescu'), 'no storescu (Debian dcmtk)'))(
  'precess ingest --listen',
  () => {
    it('stores what is pushed until it is told to stop, that included', async () => {
      const port = String(await freePort());
      const corpus = await folder();
      const running = run('ingest', '--listen', port, '--allow-aet', 'SCANNER', '--corpus', corpus, '--json');
      while (!written.stderr.includes('listening on 127.0.0.1')) await sleep(20);
      const files = await dicom(await folder());
      const send = promisify(execFile);
      await send('storescu', ['-aet', 'SCANNER', '-aec', 'PRECESS', '127.0.0.1', port, ...files.slice(1)]);
      while (!written.stderr.includes('series stored: 1')) await sleep(20);
      // A single image waits for more of its series; the end of the listener is the end of waiting.
      const [one] = await dicom(await folder(), { seriesUid: '2.25.77', seriesDescription: 't1' });
      await send('storescu', ['-aet', 'SCANNER', '-aec', 'PRECESS', '127.0.0.1', port, one!]);
      await expect(
        send('storescu', ['-aet', 'OTHER', '-aec', 'PRECESS', '127.0.0.1', port, one!]),
      ).rejects.toThrow();
      process.emit('SIGINT');
      const { stdout, stderr } = await running;
      expect(stderr).toMatch(/2 associations \(1 more refused\); instances: 8 received, 0 dropped/);
      const result = JSON.parse(stdout) as Ingested;
      expect(result.added).toBe(2);
      expect(result.series.map(({ shape }) => shape[2]).sort()).toEqual([1, 7]);
      expect(stdout + stderr).not.toMatch(/2\.25\.|P-1|Test\^/);
    });
  },
);
