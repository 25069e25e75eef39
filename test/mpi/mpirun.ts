/** Starts jobs of several ranks on this machine for the tests. */
import { spawn, type ChildProcess } from 'node:child_process';

export interface JobResult {
  /** Exit status, null when a signal ended it. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** mpirun's options here: as root, more ranks than cores, no binding. */
const ENVIRONMENT = {
  OMPI_ALLOW_RUN_AS_ROOT: '1',
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
  OMPI_MCA_rmaps_base_oversubscribe: '1',
  OMPI_MCA_hwloc_base_binding_policy: 'none',
};

/** Starts `mpirun -n ranks node ...args`; `result` settles when the whole job has ended. */
export function startJob(
  ranks: number,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): { process: ChildProcess; result: Promise<JobResult> } {
  const child = spawn('mpirun', ['-n', String(ranks), process.execPath, ...args], {
    env: { ...process.env, ...ENVIRONMENT, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  const result = new Promise<JobResult>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, stdout, stderr }));
  });
  return { process: child, result };
}

export const runJob = (
  ranks: number,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<JobResult> => startJob(ranks, args, env).result;
