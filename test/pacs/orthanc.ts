/** A real PACS for tests: Orthanc with its DICOMweb plug-in on free ports, with users and passwords. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const PLUGIN = [
  '/usr/share/orthanc/plugins/libOrthancDicomWeb.so',
  '/usr/lib/orthanc/libOrthancDicomWeb.so',
].find((path) => existsSync(path));

export const hasOrthanc = (): boolean =>
  PLUGIN !== undefined && spawnSync('Orthanc', ['--version'], { stdio: 'ignore' }).error === undefined;

export const NO_ORTHANC = 'no Orthanc with its DICOMweb plug-in (Debian orthanc, orthanc-dicomweb)';

export const USER = 'reader';
export const PASSWORD = 'a secret of this test';
export const CREDENTIALS = { PRECESS_DICOMWEB_USER: USER, PRECESS_DICOMWEB_PASSWORD: PASSWORD };

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port is free');
  return address.port;
}

export interface Orthanc {
  /** "dicomweb+http://127.0.0.1:…/dicom-web" */
  readonly address: string;
  readonly port: number;
  readonly dicomPort: number;
  /** Sends a file or JSON to Orthanc's own REST interface and returns its answer. */
  readonly rest: (path: string, body?: Uint8Array | string, method?: string) => Promise<unknown>;
  readonly stop: () => Promise<void>;
}

/** @param config More of Orthanc's settings. */
export async function startOrthanc(config: Record<string, unknown> = {}): Promise<Orthanc> {
  const dir = await mkdtemp(join(tmpdir(), 'precess-orthanc-'));
  const [port, dicomPort] = [await freePort(), await freePort()];
  await mkdir(join(dir, 'db'));
  const settings = {
    Name: 'PACS',
    DicomAet: 'ORTHANC',
    StorageDirectory: join(dir, 'db'),
    IndexDirectory: join(dir, 'db'),
    HttpPort: port,
    DicomPort: dicomPort,
    RemoteAccessAllowed: false,
    AuthenticationEnabled: true,
    RegisteredUsers: { [USER]: PASSWORD },
    Plugins: [PLUGIN],
    DicomWeb: { Enable: true, Root: '/dicom-web/' },
    ...config,
  };
  await writeFile(join(dir, 'orthanc.json'), JSON.stringify(settings));
  const server = spawn('Orthanc', [join(dir, 'orthanc.json')], { stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    await started(server);
  } catch (error) {
    server.kill('SIGKILL');
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
  const authorization = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`;
  return {
    address: `dicomweb+http://127.0.0.1:${port}/dicom-web`,
    port,
    dicomPort,
    rest: async (path, body, method = body === undefined ? 'GET' : 'POST') => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, {
        method,
        headers: { authorization },
        ...(body !== undefined && { body }),
      });
      if (!response.ok) throw new Error(`Orthanc answered ${response.status} to ${path}`);
      return response.json();
    },
    stop: async () => {
      const ended = new Promise((resolve) => server.once('exit', resolve));
      server.kill('SIGKILL');
      await ended;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function started(server: ChildProcess): Promise<void> {
  let text = '';
  const note = (chunk: Buffer): void => void (text += chunk.toString());
  server.stdout?.on('data', note);
  server.stderr?.on('data', note);
  for (let n = 0; n < 300; n++) {
    if (text.includes('Orthanc has started')) return;
    if (server.exitCode !== null) break;
    await sleep(50);
  }
  throw new Error(`Orthanc did not start:\n${text}`);
}

/** Makes a key and a certificate for 127.0.0.1 that signs itself; the paths of the two. */
export function selfSigned(dir: string): { key: string; cert: string } {
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
  const made = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1'],
    ...['-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert],
  ]);
  if (made.status !== 0) throw new Error(`openssl failed: ${made.stderr.toString()}`);
  return { key, cert };
}
