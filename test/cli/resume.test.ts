/** A run that is killed and resumed ends with the same bytes as one that was left alone. */
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import {
  CHEAP,
  CHEAP_VIEWS,
  expectFailure,
  losses,
  makeCorpus,
  precess,
  start,
  workFolder,
} from './command.js';

// Every step is a process of its own; on a busy machine each takes seconds.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

let dir = '';
let corpus = '';

beforeAll(async () => {
  dir = await workFolder();
  corpus = await makeCorpus(dir, 3);
});

const step = (n: number): string => `step-${String(n).padStart(8, '0')}`;
const pretrain = (run: string, ...more: string[]): string[] => [
  ...['pretrain', '--corpus', corpus, '--run', run, '--checkpoint-every', '2', ...CHEAP_VIEWS, ...more],
];

/** Starts a run and kills it once `moment` is there. */
async function killed(args: readonly string[], moment: () => boolean): Promise<void> {
  const { child, ended } = start(...args);
  while (child.exitCode === null && !moment()) await wait(1);
  child.kill('SIGKILL');
  const result = await ended;
  expect(result, result.stderr).toMatchObject({ code: null, signal: 'SIGKILL' });
}

async function expectSame(run: string, reference: string, steps: number): Promise<void> {
  const checkpoint = (of: string): string => join(of, 'checkpoints', step(steps));
  for (const file of ['model.safetensors', 'state.safetensors']) {
    const [got, wanted] = await Promise.all(
      [run, reference].map((of) => readFile(join(checkpoint(of), file))),
    );
    expect(wanted!.length).toBeGreaterThan(1e5);
    expect(got!.equals(wanted!), `${file} differs`).toBe(true);
  }
  const log = await losses(run);
  expect(log).toEqual(await losses(reference));
  expect(log.map((line) => line.step)).toEqual(Array.from({ length: steps }, (_, n) => n + 1));
  const left = await readdir(join(run, 'checkpoints'));
  expect(left.sort()).toEqual([step(steps - 2), step(steps)]);
}

describe('pretrain', () => {
  const N = 6;
  let reference = '';
  let run = '';

  beforeAll(async () => {
    [reference, run] = [join(dir, 'reference'), join(dir, 'killed')];
    const whole = await precess(...pretrain(reference, '--steps', String(N)));
    expect(whole, whole.stderr).toMatchObject({ code: 0 });
  });

  it('killed after a checkpoint and while writing one, then resumed: bit for bit the same', async () => {
    const steps = ['--steps', String(N)];
    await killed(pretrain(run, ...steps), () => existsSync(join(run, 'checkpoints', step(2))));
    await killed(pretrain(run, ...steps, '--resume'), () =>
      existsSync(join(run, 'checkpoints', `.${step(4)}.partial`)),
    );
    // What a kill in the middle of a write leaves, whenever the one above came: half a checkpoint, half a log line.
    const half = join(run, 'checkpoints', `.${step(5)}.partial`);
    await mkdir(half, { recursive: true });
    await writeFile(join(half, 'model.safetensors.partial'), 'half');
    await writeFile(join(run, 'metrics.jsonl'), '{"step":3,"lo', { flag: 'a' });
    const resumed = await precess(...pretrain(run, ...steps, '--resume'));
    expect(resumed, resumed.stderr).toMatchObject({ code: 0 });
    await expectSame(run, reference, N);
  });

  it('is not the same with another seed, so that the comparison can fail', async () => {
    const other = join(dir, 'other-seed');
    const result = await precess(...pretrain(other, '--steps', '1', '--seed', '1'));
    expect(result.code).toBe(0);
    expect((await losses(other))[0]!.loss).not.toBe((await losses(reference))[0]!.loss);
  });

  it('refuses a folder that holds a run, and other settings', async () => {
    const before = await readFile(join(reference, 'metrics.jsonl'), 'utf8');
    expectFailure(await precess(...pretrain(reference, '--steps', '9')), 1, /already holds a run.*--resume/);
    const changed = pretrain(reference, '--steps', '9', '--resume').map((arg) => (arg === '2' ? '3' : arg));
    expectFailure(await precess(...changed), 1, /started with batch = 2, got 3/);
    expectFailure(
      await precess(...pretrain(reference, '--steps', '9', '--resume', '--seed', '4')),
      1,
      /started with seed = 0, got 4/,
    );
    const align = await precess(
      ...['align', '--corpus', corpus, '--run', reference, '--resume', '--steps', '9', ...CHEAP],
    );
    expectFailure(align, 1, /started with kind = "pretrain", got "align"/);
    expect(await readFile(join(reference, 'metrics.jsonl'), 'utf8')).toBe(before);
  });

  it('refuses to go on with other series than it began with', async () => {
    const fewer = pretrain(run, '--steps', String(N), '--resume', '--where', "plane = 'axial'");
    expectFailure(await precess(...fewer), 1, /started with series = /);
  });

  it('resuming what is done does nothing more', async () => {
    const again = await precess(...pretrain(reference, '--steps', String(N), '--resume'));
    expect(again, again.stderr).toMatchObject({ code: 0 });
    expect(await losses(reference)).toHaveLength(N);
  });

  it('stops at Ctrl-C with a checkpoint, and goes on from there to the same end', async () => {
    const stopped = join(dir, 'stopped');
    const { child, ended } = start(...pretrain(stopped, '--steps', String(N)));
    const log = join(stopped, 'metrics.jsonl');
    while (!existsSync(log) || !(await readFile(log, 'utf8')).includes('\n')) await wait(2);
    child.kill('SIGINT');
    const result = await ended;
    expect(result).toMatchObject({ code: 130, signal: null, stdout: '' });
    expect(result.stderr).toMatch(/a checkpoint will be written/);
    const at = Number(/stopped at step (\d+) of 6;.*--resume/.exec(result.stderr)?.[1]);
    expect(at).toBeGreaterThanOrEqual(1);
    expect(await readdir(join(stopped, 'checkpoints'))).toContain(step(at));
    const resumed = await precess(...pretrain(stopped, '--steps', String(N), '--resume'));
    expect(resumed, resumed.stderr).toMatchObject({ code: 0 });
    expect(await losses(stopped)).toEqual(await losses(reference));
  });
});

describe('align', () => {
  it('killed and resumed: bit for bit the same', async () => {
    const [reference, run] = [join(dir, 'align-reference'), join(dir, 'align-killed')];
    const align = (folder: string, ...more: string[]): string[] => [
      ...['align', '--corpus', corpus, '--run', folder, '--steps', '4', '--checkpoint-every', '2'],
      ...[...CHEAP, ...more],
    ];
    const whole = await precess(...align(reference));
    expect(whole, whole.stderr).toMatchObject({ code: 0 });
    await killed(align(run), () => existsSync(join(run, 'checkpoints', step(2))));
    const resumed = await precess(...align(run, '--resume'));
    expect(resumed, resumed.stderr).toMatchObject({ code: 0 });
    await expectSame(run, reference, 4);
  });
});
