/** A real S3-compatible service for tests: Versity's gateway before a folder, on a free port. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../pacs/orthanc.js';

const PROGRAM = process.env.PRECESS_S3_SERVER ?? 'versitygw';

export const hasS3Server = (): boolean =>
  spawnSync(PROGRAM, ['--version'], { stdio: 'ignore' }).error === undefined;

export const NO_S3_SERVER =
  'no S3-compatible service (go install github.com/versity/versitygw/cmd/versitygw@v1.8.0; PRECESS_S3_SERVER names it)';

const BUCKET = 'corpora';

export interface S3Server {
  /** Variables of the environment that lead to it. */
  readonly env: Readonly<Record<string, string>>;
  /** Where the objects are as files: s3://corpora/x/y is FOLDER/x/y. */
  readonly folder: string;
  /** A place in the bucket that no other call gave. */
  readonly place: () => string;
  /** The file of an object by its URL. */
  readonly fileOf: (url: string) => string;
  /** Takes it down, as a crash would; `up` starts it again at the same address. */
  readonly down: () => Promise<void>;
  readonly up: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

export async function startS3(): Promise<S3Server> {
  const dir = await mkdtemp(join(tmpdir(), 'precess-s3-'));
  const folder = join(dir, BUCKET);
  await mkdir(folder);
  const port = await freePort();
  const [user, secret] = ['precess-test', 'a secret of this test'];
  let server: ChildProcess | null = null;
  let places = 0;
  const down = async (): Promise<void> => {
    const ending = server;
    server = null;
    if (ending === null || ending.exitCode !== null) return;
    const ended = new Promise((resolve) => ending.once('exit', resolve));
    ending.kill('SIGKILL');
    await ended;
  };
  const up = async (): Promise<void> => {
    server = spawn(PROGRAM, ['--quiet', '--port', `127.0.0.1:${port}`, 'posix', dir], {
      env: { ...process.env, ROOT_ACCESS_KEY: user, ROOT_SECRET_KEY: secret },
      stdio: 'ignore',
    });
    for (let tries = 0; !(await answers(port)); tries++) {
      if (tries > 300 || server.exitCode !== null) throw new Error('the S3 service did not start');
      await sleep(20);
    }
  };
  const stop = async (): Promise<void> => {
    await down();
    await rm(dir, { recursive: true, force: true });
  };
  await up().catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  const env = {
    AWS_ENDPOINT_URL: `http://127.0.0.1:${port}`,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: user,
    AWS_SECRET_ACCESS_KEY: secret,
  };
  const fileOf = (url: string): string => join(dir, url.slice('s3://'.length));
  return { env, folder, place: () => `s3://${BUCKET}/c${places++}`, fileOf, down, up, stop };
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
