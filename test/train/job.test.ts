/** Jobs of several ranks: the same result as one, and what happens when they are stopped or killed. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { readSafetensors } from '../../src/models/safetensors.js';
import { hasCommand, skipped } from '../data.js';
import { runJob, startJob } from '../mpi/mpirun.js';

const script = fileURLToPath(new URL('job.mjs', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'precess-job-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const folder = (name: string): string => join(dir, name);

type Line = Record<string, number>;
const metrics = (run: string): Line[] =>
  readFileSync(join(run, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

async function weights(run: string): Promise<Map<string, Float32Array>> {
  const newest = readdirSync(join(run, 'checkpoints')).sort().at(-1)!;
  const { tensors } = await readSafetensors(join(run, 'checkpoints', newest, 'state.safetensors'));
  return new Map([...tensors].map(([name, { data }]) => [name, data]));
}

/** ‖a - b‖ / ‖a‖. */
function difference(a: Float32Array, b: Float32Array): number {
  expect(b.length).toBe(a.length);
  let [apart, length] = [0, 0];
  for (let n = 0; n < a.length; n++) {
    apart += (a[n]! - b[n]!) ** 2;
    length += a[n]! ** 2;
  }
  return Math.sqrt(apart / length);
}

function alone(kind: string, run: string, steps: number, options: Record<string, unknown> = {}): string {
  const { status, stderr } = spawnSync(
    process.execPath,
    [script, kind, run, String(steps), JSON.stringify(options)],
    { encoding: 'utf8' },
  );
  if (status !== 0) return stderr;
  return '';
}

/** Waits until a process has ended: mpirun does not wait for those that it kills. */
async function gone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    if (/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function expectSame(one: string, other: string): Promise<void> {
  const [a, b] = [metrics(one), metrics(other)];
  expect(b.map(({ step }) => step)).toEqual(a.map(({ step }) => step));
  a.forEach((line, n) => {
    for (const name of ['loss', 'dino', 'ibot', 'koleo', 'pixels', 'text', 'studyLoss'])
      if (line[name] !== undefined)
        expect(Math.abs(b[n]![name]! / line[name] - 1), `${name} of step ${line.step!}`).toBeLessThan(2e-4);
    expect(Math.abs(b[n]!.gradNorm! / line.gradNorm! - 1)).toBeLessThan(1e-3);
  });
  const [x, y] = [await weights(one), await weights(other)];
  expect([...y.keys()]).toEqual([...x.keys()]);
  for (const name of ['params', 'teacher'])
    if (x.has(name)) expect(difference(x.get(name)!, y.get(name)!), name).toBeLessThan(1e-4);
  for (const name of ['m', 'v']) expect(difference(x.get(name)!, y.get(name)!), name).toBeLessThan(5e-3);
}

describe.skipIf(skipped(!hasCommand('mpirun'), 'mpirun (openmpi-bin) is not installed'))('a job', () => {
  it('pretrains as one process does with the same batch, in one part or in two', async () => {
    for (const [name, steps, options] of [
      ['whole', 6, {}],
      ['parts', 4, { accumulate: 2 }],
    ] as const) {
      const [one, two] = [folder(`${name}-1`), folder(`${name}-2`)];
      expect(alone('pretrain', one, steps, options)).toBe('');
      const { status, stderr, stdout } = await runJob(2, [
        script,
        'pretrain',
        two,
        String(steps),
        JSON.stringify(options),
      ]);
      expect(status, stderr).toBe(0);
      // Only rank 0 reports.
      expect(stdout.match(/^step 1$/gm)).toHaveLength(1);
      await expectSame(one, two);
      // What is compared is a run that learns.
      const losses = metrics(one).map(({ loss }) => loss!);
      expect(losses.at(-1)).toBeLessThan(losses[0]! - 0.03 * steps);
    }
  });

  it.each(['align', 'align-studies', 'mae', 'slip'])(
    'does %s as one process does with the same batch',
    async (kind) => {
      const [one, two] = [folder(`${kind}-1`), folder(`${kind}-2`)];
      expect(alone(kind, one, 5)).toBe('');
      const { status, stderr } = await runJob(2, [script, kind, two, '5']);
      expect(status, stderr).toBe(0);
      await expectSame(one, two);
      if (kind !== 'slip') return;
      // Its last two of five steps show larger views.
      const tokens = metrics(one).map(({ tokensPerSecond, seconds }) => tokensPerSecond! * seconds!);
      expect(Math.min(...tokens.slice(3))).toBeGreaterThan(1.2 * Math.max(...tokens.slice(0, 3)));
    },
  );

  it('refuses a batch that does not divide, on every rank', async () => {
    const { status, stderr } = await runJob(3, [script, 'pretrain', folder('uneven'), '2']);
    expect(status).not.toBe(0);
    expect(stderr).toContain('use a multiple of 3, e.g. --batch 6');
  });

  it('ends whole when a rank is killed, and goes on from its checkpoint on another number of ranks', async () => {
    const run = folder('killed');
    const options = JSON.stringify({ checkpointEvery: 2 });
    const job = startJob(2, [script, 'pretrain', run, '6', options]);
    await new Promise<void>((resolve) => {
      job.process.stdout!.on('data', (data: Buffer) => {
        if (data.toString().includes('step 3')) resolve();
      });
    });
    const { stdout } = spawnSync('pgrep', ['-P', String(job.process.pid)], { encoding: 'utf8' });
    const ranks = stdout.trim().split('\n').map(Number);
    process.kill(ranks.at(-1)!, 'SIGKILL');
    const { status } = await job.result;
    expect(status).not.toBe(0);
    await Promise.all(ranks.map(gone));
    expect(alone('pretrain', run, 6, { checkpointEvery: 2, resume: true })).toBe('');
    await expectSame(folder('whole-1'), run);
  });

  it('stops after a step with a checkpoint when mpirun is told to stop', async () => {
    for (const signal of ['SIGTERM', 'SIGUSR2'] as const) {
      const run = folder(`stopped-${signal}`);
      const job = startJob(2, [script, 'pretrain', run, '1000'], { OMPI_MCA_odls_base_sigkill_timeout: '3' });
      await new Promise<void>((resolve) => job.process.stdout!.once('data', () => resolve()));
      job.process.kill(signal);
      await job.result;
      const done = metrics(run).at(-1)!.step!;
      expect(done).toBeLessThan(1000);
      expect(readdirSync(join(run, 'checkpoints'))).toEqual([`step-${String(done).padStart(8, '0')}`]);
    }
  });

  it('has the run folder for itself', async () => {
    const run = folder('locked');
    const job = startJob(2, [script, 'pretrain', run, '1000']);
    await new Promise<void>((resolve) => job.process.stdout!.once('data', () => resolve()));
    expect(alone('pretrain', run, 10, { resume: true })).toContain('another one is at it');
    job.process.kill('SIGKILL');
    await job.result;
  });
});

describe('the lock of a run', () => {
  it('of another machine holds while it is kept fresh', () => {
    const run = folder('whole-elsewhere');
    expect(alone('pretrain', run, 1)).toBe('');
    const path = join(run, 'lock');
    writeFileSync(path, JSON.stringify({ pid: 1, host: 'another-machine' }));
    expect(alone('pretrain', run, 2, { resume: true })).toContain('another one is at it');
    const before = new Date(Date.now() - 600_000);
    utimesSync(path, before, before);
    // `steps` may grow; the learning rate's schedule grows with it.
    expect(alone('pretrain', run, 2, { resume: true })).toBe('');
    expect(readdirSync(run)).not.toContain('lock');
  });
});
