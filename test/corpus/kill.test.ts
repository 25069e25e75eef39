/** An ingest that is killed at random moments loses nothing, stores nothing twice, and shows nothing half written. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

it('survives SIGKILL', () => {
  const script = fileURLToPath(new URL('../../bench/ingest/kill.mjs', import.meta.url));
  const args = [script, '--times', '5', '--seed', String(Date.now() % 1_000_000)];
  let report: string;
  try {
    report = execFileSync(process.execPath, args, { encoding: 'utf8' });
  } catch (error) {
    report = (error as { stdout?: string }).stdout ?? String(error);
  }
  expect(JSON.parse(report)).toMatchObject({ times: 5, problems: [] });
});
