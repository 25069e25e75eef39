/** The commands `ingest` and `corpus`: what goes to stdout, what fails and how. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { CliError, UsageError } from '../../src/cli/shared.js';
import { newUid } from '../../src/formats/dicom/index.js';
import { run } from './command.js';
import { dicom, folder } from './made.js';

afterEach(() => vi.restoreAllMocks());

describe('precess ingest and corpus', () => {
  it('ingest --json prints one document, and the listing finds the series', async () => {
    const dir = await folder();
    const corpus = join(dir, 'c');
    await dicom(join(dir, 'in', 'a'), { bodyPart: 'PROSTATE' });
    await dicom(join(dir, 'in', 'b'), { bodyPart: 'KNEE', seriesUid: newUid('b'), studyUid: newUid('B') });
    const ingested = await run(
      'ingest',
      join(dir, 'in'),
      '--corpus',
      corpus,
      '--rights',
      'CC BY 4.0:train,evaluate,share-weights,serve',
      '--json',
    );
    const result = JSON.parse(ingested.stdout) as {
      series: { id: string; rights: unknown }[];
      added: number;
    };
    expect(result.added).toBe(2);
    expect(result.series[0]!.rights).toMatchObject({
      licence: 'CC BY 4.0',
      use: ['train', 'evaluate', 'share-weights', 'serve'],
    });
    expect(ingested.stderr).toMatch(/reading headers: 16\/16/);

    const knees = await run('corpus', 'ls', '--corpus', corpus, '--where', "bodyPart = 'KNEE'", '--json');
    const { series } = JSON.parse(knees.stdout) as { series: { id: string; bodyPart: string }[] };
    expect(series.map(({ bodyPart }) => bodyPart)).toEqual(['KNEE']);
    const lines = (await run('corpus', 'ls', '--corpus', corpus)).stdout.trim().split('\n');
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(line).toMatch(/^se-[0-9a-f]{16} .*40×36×8/);

    const one = await run('corpus', 'show', series[0]!.id, '--corpus', corpus, '--json');
    expect(JSON.parse(one.stdout)).toEqual(series[0]);
    const words = (await run('corpus', 'show', series[0]!.id, '--corpus', corpus)).stdout;
    expect(words).toMatch(/^id +se-[0-9a-f]{16}$/m);
    expect(words).toMatch(/^body part +KNEE( \(\d+ %\))?$/m);
    expect(words).toMatch(/^voxels +40 × 36 × 8, 0\.8 × 0\.8 × 3 mm$/m);
    expect(words).toMatch(/^rights +CC BY 4\.0: train, evaluate, share-weights, serve$/m);
    expect(words).not.toMatch(/null|undefined|impression/);
    const all = await run('corpus', 'show', '--corpus', corpus, '--json');
    expect(JSON.parse(all.stdout)).toMatchObject({
      series: 2,
      studies: 2,
      patients: 1,
      bodyParts: { KNEE: 1 },
    });
  });

  it('writes nothing to stdout without --json but the listing', async () => {
    const dir = await folder();
    await dicom(join(dir, 'in'));
    await writeFile(join(dir, 'in', 'notes.txt'), 'x');
    const { stdout, stderr } = await run('ingest', join(dir, 'in'), '--corpus', join(dir, 'c'));
    expect(stdout).toBe('');
    expect(stderr).toMatch(/1 series in .*: 1 added/);
    expect(stderr).toMatch(/skipped: .*notes\.txt: neither DICOM nor NIfTI/);
  });

  it('fails with what to do when nothing is usable', async () => {
    const dir = await folder();
    await mkdir(join(dir, 'in'));
    await expect(run('ingest', join(dir, 'in'), '--corpus', join(dir, 'c'))).rejects.toThrow(/none in/);
    await writeFile(join(dir, 'in', 'a.dcm'), 'text');
    const failing = run('ingest', join(dir, 'in'), '--corpus', join(dir, 'c'));
    await expect(failing).rejects.toThrow(CliError);
    await expect(run('ingest', join(dir, 'in'), '--corpus', join(dir, 'c'))).rejects.toThrow(
      /not a DICOM file.*name a folder/,
    );
  });

  it('tells wrong usage from failure', async () => {
    const dir = await folder();
    await dicom(join(dir, 'in'));
    const corpus = join(dir, 'c');
    await expect(run('ingest', join(dir, 'in'), '--corpus', corpus, '--rights', 'CC BY')).rejects.toThrow(
      UsageError,
    );
    await expect(run('ingest', join(dir, 'in'), '--corpus', corpus, '--text', 'all')).rejects.toThrow(
      UsageError,
    );
    await expect(run('corpus', 'ls', '--corpus', corpus)).rejects.toThrow(/must be a corpus/);
  });
});
