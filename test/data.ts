/** Where the real data is that some tests compare with; those tests are skipped, with the reason, where it is not. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** $PRECESS_DATA, else shared/data beside the repository; null when there is neither. */
export function dataDir(): string | null {
  const named = process.env.PRECESS_DATA;
  const dir =
    named !== undefined && named !== ''
      ? named
      : fileURLToPath(new URL('../../shared/data', import.meta.url));
  return existsSync(dir) ? dir : null;
}

/** Whether `command` can be started here. */
export function hasCommand(command: string): boolean {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined;
}

/** Says on the console why tests are skipped, and returns whether they are: `describe.skipIf(skipped(…))`. */
export function skipped(missing: boolean, reason: string): boolean {
  if (missing) console.warn(`skipped: ${reason}`);
  return missing;
}
