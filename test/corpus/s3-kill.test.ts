/** As kill.test.ts, into a bucket. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { hasS3Server, NO_S3_SERVER, startS3 } from './s3-server.js';

const there = hasS3Server();
if (!there) console.warn(`skipped: kills of an ingest into a bucket; ${NO_S3_SERVER}`);

it.skipIf(!there)(
  'survives SIGKILL in a bucket',
  async () => {
    const script = fileURLToPath(new URL('../../bench/ingest/kill.mjs', import.meta.url));
    const server = await startS3();
    try {
      const seed = String(Date.now() % 1_000_000);
      const args = [script, '--times', '4', '--series', '40', '--seed', seed, '--corpora', server.place()];
      const env = { ...process.env, ...server.env };
      const report = await promisify(execFile)(process.execPath, args, { env }).then(
        ({ stdout }) => stdout,
        (error: unknown) => (error as { stdout?: string }).stdout ?? String(error),
      );
      expect(JSON.parse(report)).toMatchObject({ times: 4, problems: [] });
    } finally {
      await server.stop();
    }
  },
  120_000,
);
