/** A corpus in a bucket is the one that a folder would be: the same commands, ids and voxels, on a real service. */
import { readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { recordAudit } from '../../src/corpus/audit.js';
import { voxelsPath } from '../../src/corpus/corpus.js';
import { Corpus, CorpusError, ingest, readAudit, type Rights, type Series } from '../../src/corpus/index.js';
import { lock, requireLock } from '../../src/corpus/lock.js';
import { openStore } from '../../src/corpus/store.js';
import { newUid } from '../../src/formats/dicom/index.js';
import { indexModel } from '../../src/tasks/index-store.js';
import { pretrain } from '../../src/train/run.js';
import type { Volume } from '../../src/volume/volume.js';
import { run, written } from './command.js';
import { dicom, filesUnder, folder, image, withCorpus } from './made.js';
import { hasS3Server, NO_S3_SERVER, type S3Server, startS3 } from './s3-server.js';

const there = hasS3Server();
if (!there) console.warn(`skipped: corpora in a bucket; ${NO_S3_SERVER}`);

/** Two patients, three series; the second series has lost a slice. */
async function source(dir: string): Promise<string> {
  for (const [n, patientId] of ['P-1', 'P-1', 'P-2'].entries()) {
    const over = { patientId, seriesUid: newUid(`s${n}`), studyUid: newUid(`st ${patientId}`) };
    const files = await dicom(join(dir, 'in', String(n)), over, image([80, 72, 20], n + 1));
    if (n === 1) await rm(files[4]!);
  }
  return join(dir, 'in');
}

function expectSame(a: Volume, b: Volume): void {
  expect({ ...a, data: a.data.length, valid: a.valid?.length }).toEqual({
    ...b,
    data: b.data.length,
    valid: b.valid?.length,
  });
  const bytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer =>
    Buffer.from(buffer, byteOffset, byteLength);
  expect(bytes(a.data).equals(bytes(b.data))).toBe(true);
  if (a.valid !== null) expect(bytes(a.valid).equals(bytes(b.valid!))).toBe(true);
}

describe.skipIf(!there)('a corpus in a bucket', () => {
  let server: S3Server;
  beforeAll(async () => {
    server = await startS3();
    for (const [name, value] of Object.entries(server.env)) vi.stubEnv(name, value);
  });
  afterAll(() => server.stop());
  afterEach(() => vi.restoreAllMocks());

  it('holds the same series as a folder, and reads the same voxels', async () => {
    const dir = await folder();
    const from = await source(dir);
    // With the same key the same series has the same id.
    vi.stubEnv('PRECESS_KEY_FILE', join(dir, 'key'));
    try {
      const [here, bucket] = [join(dir, 'c'), server.place()];
      const inFolder = await ingest([from], { corpus: here });
      const inBucket = await ingest([from], { corpus: bucket });
      expect(inBucket).toMatchObject({ added: 3, skipped: [] });
      expect(inBucket.series).toEqual(inFolder.series);
      expect(inBucket.series.some(({ validFraction }) => validFraction < 1)).toBe(true);
      await withCorpus(here, (a) =>
        withCorpus(bucket, async (b) => {
          expect(await b.list()).toEqual(await a.list());
          for (const { id } of await a.list()) {
            expectSame(await b.volume(id), await a.volume(id));
            const box = [
              [70, 3, 2],
              [10, 66, 7],
            ] as const;
            expectSame(await b.region(id, ...box), await a.region(id, ...box));
          }
        }),
      );
      expect(await ingest([from], { corpus: bucket })).toMatchObject({ added: 0, present: 3 });
      // The bucket does not hold the key, and without it nothing can be added.
      const key = await readFile(join(dir, 'key'), 'utf8');
      const objects = await filesUnder(server.folder);
      const texts = await Promise.all(objects.map((path) => readFile(path, 'latin1')));
      expect(texts.some((text) => text.includes(key.trim()))).toBe(false);
      await writeFile(join(dir, 'key'), `${'0'.repeat(64)}\n`);
      await expect(ingest([from], { corpus: bucket })).rejects.toThrow(/holds that of another corpus/);
      vi.stubEnv('PRECESS_KEY_FILE', '');
      await expect(ingest([from], { corpus: bucket })).rejects.toThrow(/kept elsewhere.*PRECESS_KEY_FILE/);
    } finally {
      vi.stubEnv('PRECESS_KEY_FILE', '');
    }
  });

  it('reads of a series no more than the chunks that a box touches', async () => {
    const dir = await folder();
    const bucket = server.place();
    await dicom(join(dir, 'in'), {}, image([200, 190, 8]));
    const { series } = await ingest([join(dir, 'in')], { corpus: bucket });
    const { size } = await stat(join(server.fileOf(bucket), voxelsPath(series[0]!.id, 0), '0/c/0/0/0'));
    await withCorpus(bucket, async (corpus) => {
      await corpus.region(series[0]!.id, [0, 0, 0], [1, 1, 1]);
      let [bytes, requests] = [0, 0];
      const { fetch } = globalThis;
      vi.spyOn(globalThis, 'fetch').mockImplementation(async (...args) => {
        const answer = await fetch(...args);
        requests++;
        bytes += Number(answer.headers.get('content-length') ?? 0);
        return answer;
      });
      const box = await corpus.region(series[0]!.id, [10, 20, 2], [8, 8, 4]);
      expect(box.shape).toEqual([8, 8, 4]);
      expect(bytes).toBeGreaterThan(0);
      // 4 × 3 chunks, of which the box lies in one.
      expect(bytes).toBeLessThan(size / 6);
      requests = 0;
      await corpus.volume(series[0]!.id);
      // Metadata of the image and its array, and the voxels in one piece.
      expect(requests).toBe(3);
    });
  });

  it('is listed, shown, checked, quarantined, licensed and exported', async () => {
    const dir = await folder();
    const [bucket, from] = [server.place(), await source(dir)];
    const { stdout } = await run('ingest', from, '--corpus', bucket, '--json');
    const { series } = JSON.parse(stdout) as { series: Series[] };
    const [first] = series;
    expect((await run('corpus', 'ls', '--corpus', bucket)).stdout.match(/^se-/gm)).toHaveLength(3);
    expect((await run('corpus', 'show', '--corpus', bucket)).stdout).toMatch(
      /^series: 3\npatients: 2|series: 3/,
    );
    expect((await run('corpus', 'check', '--corpus', bucket)).stderr).toMatch(/3 series: 0 broken/);
    await run('corpus', 'quarantine', 'add', first!.id, '--corpus', bucket);
    const rights = ['--source', first!.source, '--rights', 'CC0:train,evaluate'];
    await run('corpus', 'rights', 'set', ...rights, '--corpus', bucket);
    const rows = await withCorpus(bucket, (corpus) => corpus.list());
    expect(rows.map(({ rights }) => rights.licence)).toEqual(['CC0', 'CC0', 'CC0']);
    expect(rows.filter(({ quarantined }) => quarantined !== null).map(({ id }) => id)).toEqual([first!.id]);
    await run('corpus', 'export', '--corpus', bucket, '--nifti', join(dir, 'out'));
    // Not the one in quarantine.
    expect((await filesUnder(join(dir, 'out'))).filter((path) => path.endsWith('.nii.gz'))).toHaveLength(2);
    const { entries, findings } = await readAudit(bucket);
    expect(findings).toEqual([]);
    expect(entries.map(({ action }) => action)).toEqual([
      'create',
      'ingest',
      'ingested',
      'quarantine',
      'rights',
      'export',
    ]);
  });

  it('tells voxels that were lost and an audit log that was changed', async () => {
    const dir = await folder();
    const [bucket, from] = [server.place(), await source(dir)];
    const { series } = await ingest([from], { corpus: bucket });
    const store = await openStore(bucket);
    await store.remove(`${voxelsPath(series[0]!.id, 0)}/0/c`);
    const log = Buffer.from((await store.read('audit.jsonl'))!).toString('utf8');
    await store.write('audit.jsonl', Buffer.from(log.replace('"added":3', '"added":2')));
    await expect(run('corpus', 'check', '--corpus', bucket)).rejects.toThrow(/1 of 3 series/);
    expect(written.stdout).toContain(`${series[0]!.id}  broken  unreadable`);
    expect((await readAudit(bucket)).findings.map(({ kind }) => kind)).toContain('changed');
  });

  it('keeps nothing of what was withdrawn', async () => {
    const dir = await folder();
    const [bucket, from] = [server.place(), await source(dir)];
    const { series } = await ingest([from], { corpus: bucket });
    // As an index would that was copied into the bucket with a folder.
    await (await openStore(bucket)).write('index/images.lance/data', Buffer.from(series[0]!.id));
    await expect(indexModel(bucket)).rejects.toThrow(/the corpus must be a folder/);
    const { stdout } = await run(
      'corpus',
      'withdraw',
      '--patient',
      'P-1',
      '--yes',
      '--json',
      '--corpus',
      bucket,
    );
    expect(JSON.parse(stdout)).toMatchObject({ removed: [expect.any(String), expect.any(String)] });
    const left = await withCorpus(bucket, (corpus) => corpus.list());
    expect(left).toHaveLength(1);
    const gone = series.filter(({ id }) => id !== left[0]!.id);
    expect(gone).toHaveLength(2);
    for (const path of await filesUnder(server.fileOf(bucket))) {
      const text = `${path}\n${await readFile(path, 'latin1')}`;
      for (const { id } of gone) expect(text.includes(id), path).toBe(false);
    }
    await run('corpus', 'check', '--corpus', bucket);
    expect((await readAudit(bucket)).findings).toEqual([]);
    expect(await ingest([from], { corpus: bucket })).toMatchObject({ added: 2, present: 1 });
  });

  it('is trained on', async () => {
    const dir = await folder();
    const [bucket, from] = [server.place(), await source(dir)];
    const rights: Rights = {
      licence: 'CC0',
      use: ['train', 'evaluate'],
      reference: null,
      expires: null,
      attribution: null,
    };
    await ingest([from], { corpus: bucket, rights });
    await withCorpus(bucket, (corpus) =>
      pretrain({ corpus, run: join(dir, 'run'), size: 'pico', steps: 1, batch: 2, seed: 1, threads: 1 }),
    );
    expect((await readAudit(bucket)).entries.at(-1)!.action).toBe('train');
    const shown = await run('corpus', 'rights', '--corpus', bucket, '--json');
    expect(JSON.parse(shown.stdout)).toMatchObject({ runs: [{ kind: 'pretrain' }] });
  });

  describe('one command at a time', () => {
    it('writes; the other is refused, or waits for the audit log', async () => {
      const dir = await folder();
      const [bucket, from] = [server.place(), await source(dir)];
      await ingest([from], { corpus: bucket });
      const both = await Promise.allSettled([
        ingest([from], { corpus: bucket }),
        ingest([from], { corpus: bucket }),
      ]);
      const refused = both.filter((one) => one.status === 'rejected');
      expect(refused).toHaveLength(1);
      expect(String(refused[0]!.reason)).toMatch(/one command at a time may write to s3:/);
      expect(await ingest([from], { corpus: bucket })).toMatchObject({ added: 0, present: 3 });

      const before = (await readAudit(bucket)).entries.length;
      await Promise.all(Array.from({ length: 8 }, (_, n) => recordAudit(bucket, 'train', { n })));
      const { entries, findings } = await readAudit(bucket);
      expect(findings).toEqual([]);
      const seen = entries.slice(before).map(({ detail }) => detail.n as number);
      expect(seen.sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    });

    it('makes a new corpus', async () => {
      const bucket = server.place();
      const made = await Promise.allSettled([Corpus.create(bucket), Corpus.create(bucket)]);
      for (const one of made)
        if (one.status === 'fulfilled') one.value.close();
        else expect(String(one.reason)).toMatch(/one command at a time/);
      expect(made.some(({ status }) => status === 'fulfilled')).toBe(true);
      expect((await readAudit(bucket)).entries.map(({ action }) => action)).toEqual(['create']);
    });

    it('takes over from one that was silent for long, which then writes no more', async () => {
      const bucket = server.place();
      (await Corpus.create(bucket)).close();
      const unlock = await lock(bucket);
      await requireLock(bucket, 'ingest');
      await expect(lock(bucket, 'withdraw')).rejects.toThrow(/withdraw: one command at a time/);
      // As if the machine had slept: its last writing is three minutes old.
      const then = Date.now() / 1000 - 180;
      await utimes(join(server.fileOf(bucket), 'lock'), then, then);
      const other = await lock(bucket, 'withdraw');
      await other();
      const next = await lock(bucket, 'rights');
      await unlock();
      // What was given back late is not the new holder's lock.
      await expect(lock(bucket, 'withdraw')).rejects.toThrow(/one command at a time/);
      await next();
    });

    it('learns from a lost lease before it writes rows', async () => {
      const dir = await folder();
      const [bucket, from] = [server.place(), await source(dir)];
      const store = await openStore(bucket);
      const losing = ingest([from], {
        corpus: bucket,
        onProgress: ({ phase, done }) => {
          if (phase !== 'store' || done !== 1) return;
          void store.write('lock', Buffer.from('{"owner":"another","machine":"another","pid":1}'));
        },
      });
      await expect(losing).rejects.toThrow(/another one took s3:.* over/);
      await withCorpus(bucket, async (corpus) => expect(await corpus.list()).toEqual([]));
      await expect(ingest([from], { corpus: bucket })).rejects.toThrow(/one command at a time/);
    });
  });

  describe('a service', () => {
    it('that goes away in the middle is one error, and nothing is lost', async () => {
      const dir = await folder();
      const [bucket, from] = [server.place(), await source(dir)];
      let down: Promise<void> | null = null;
      const cut = ingest([from], {
        corpus: bucket,
        onProgress: ({ phase, done }) => {
          if (phase === 'store' && done === 2) down ??= server.down();
        },
      });
      try {
        await expect(cut).rejects.toThrow(CorpusError);
        await expect(cut).rejects.toThrow(/must be reachable, got .*; check AWS_ENDPOINT_URL/);
        await expect(Corpus.open(bucket)).rejects.toThrow(/must be reachable/);
      } finally {
        await server.up();
      }
      const { series } = await ingest([from], { corpus: bucket });
      expect(series).toHaveLength(3);
      await run('corpus', 'check', '--corpus', bucket);
      expect((await readAudit(bucket)).findings.filter(({ broken }) => broken)).toEqual([]);
    });

    it('that refuses, or has no such bucket, is one error', async () => {
      await expect(Corpus.open('s3://no-such-bucket/c')).rejects.toThrow(
        /s3:\/\/no-such-bucket\/c must be in a bucket that exists/,
      );
      vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'wrong');
      await expect(Corpus.open(server.place())).rejects.toThrow(
        /must allow it, got 403 .*AWS_SECRET_ACCESS_KEY/,
      );
      vi.stubEnv('AWS_ACCESS_KEY_ID', undefined);
      await expect(Corpus.open(server.place())).rejects.toThrow(/needs AWS_ACCESS_KEY_ID/);
      for (const [name, value] of Object.entries(server.env)) vi.stubEnv(name, value);
    });

    it('that takes conditional writes for unconditional ones gets no corpus', async () => {
      const objects = new Map<string, Buffer>();
      const naive = createServer((request, response) => {
        const chunks: Buffer[] = [];
        request.on('data', (chunk: Buffer) => chunks.push(chunk));
        request.on('end', () => {
          const { pathname, searchParams } = new URL(request.url!, 'http://localhost');
          if (request.method === 'PUT') objects.set(pathname, Buffer.concat(chunks));
          const object = objects.get(pathname);
          const answer = searchParams.has('list-type') ? Buffer.from('<ListBucketResult/>') : object;
          response.writeHead(answer === undefined ? 404 : 200, { etag: '"always"' }).end(answer);
        });
      });
      await new Promise<void>((resolve) => naive.listen(0, '127.0.0.1', resolve));
      try {
        vi.stubEnv('AWS_ENDPOINT_URL', `http://127.0.0.1:${(naive.address() as AddressInfo).port}`);
        await expect(Corpus.create('s3://naive/c')).rejects.toThrow(/must know conditional writes/);
      } finally {
        vi.stubEnv('AWS_ENDPOINT_URL', server.env.AWS_ENDPOINT_URL);
        naive.close();
      }
    });
  });
});
