/** Runs `precess ingest`, `precess corpus` and `precess deidentify` in the test's own process. */
import { Command } from 'commander';
import { vi } from 'vitest';
import { registerCorpus } from '../../src/cli/corpus.js';
import { registerDeidentify } from '../../src/cli/deidentify.js';
import { registerIngest } from '../../src/cli/ingest.js';

/** What the last `run` wrote, also where it failed. */
export const written = { stdout: '', stderr: '' };

/** Runs `precess ARGS` and returns what it wrote. */
export async function run(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  Object.assign(written, { stdout: '', stderr: '' });
  for (const stream of ['stdout', 'stderr'] as const)
    vi.spyOn(process[stream], 'write').mockImplementation((text) => {
      written[stream] += String(text);
      return true;
    });
  try {
    const program = new Command('precess').exitOverride();
    registerIngest(program);
    registerCorpus(program);
    registerDeidentify(program);
    await program.parseAsync(args, { from: 'user' });
  } finally {
    vi.restoreAllMocks();
  }
  return { ...written };
}
