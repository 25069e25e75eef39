import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { detectLaunch, MpiError, openCommunicator, SingleProcess } from '../../src/mpi/index.js';
import { hasCommand, skipped } from '../data.js';
import { runJob } from './mpirun.js';

const script = fileURLToPath(new URL('collectives.mjs', import.meta.url));

describe.skipIf(skipped(!hasCommand('mpirun'), 'mpirun (openmpi-bin) is not installed'))(
  'under mpirun',
  () => {
    it('sums, scatters, gathers and broadcasts over three ranks', async () => {
      const { status, stdout, stderr } = await runJob(3, [script]);
      expect(status, stderr).toBe(0);
      const said = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .sort((a, b) => (a.rank as number) - (b.rank as number));
      expect(said.map(({ rank }) => rank)).toEqual([0, 1, 2]);
      for (const { rank, ...result } of said) {
        const r = rank as number;
        expect(result).toMatchObject({
          size: 3,
          sum: [3, 3, 1.5],
          large: [6, 6],
          // 3 (2^53 - 1) - 3 is even and below 2^55, so a double holds it to 4; a float would not come near.
          double: 3 * (2 ** 53 - 2),
          part: [3 * (2 * r) + 300, 3 * (2 * r + 1) + 300],
          gathered: [0, -0, 1, -1, 2, -2].map((n) => (Object.is(n, -0) ? 0 : n)),
          bytes: [[], [1], [2, 2]],
          told: [2, 7],
          refused: expect.stringContaining('3 blocks') as string,
        });
        if (r !== 0) expect(result.ticks as number).toBeGreaterThan(10);
      }
    });

    it('ends every rank with the status of the one that aborts', async () => {
      const { status } = await runJob(2, [
        '--input-type=module',
        '-e',
        `import { openCommunicator } from ${JSON.stringify(new URL('../../dist/mpi/index.js', import.meta.url).href)};
       const ranks = await openCommunicator();
       if (ranks.rank === 1) ranks.abort(7);
       setInterval(() => undefined, 1000);`,
      ]);
      expect(status).toBe(7);
    });

    it('names the library that it needs when it is not there', async () => {
      const { status, stderr } = await runJob(1, [script], { PRECESS_MPI_LIBRARY: 'libno-such-mpi.so' });
      expect(status).not.toBe(0);
      expect(stderr).toContain('libno-such-mpi.so cannot be loaded');
      expect(stderr).toContain('libopenmpi-dev');
    });
  },
);

describe('a process alone', () => {
  it('is rank 0 of 1 and keeps what it gives', async () => {
    const ranks = await openCommunicator();
    expect(ranks).toBeInstanceOf(SingleProcess);
    const data = Float32Array.of(1, 2);
    await ranks.allreduceSum(data);
    expect([...data]).toEqual([1, 2]);
    const into = new Float32Array(2);
    await ranks.reduceScatterSum(data, into);
    expect([...into]).toEqual([1, 2]);
    const bytes = Buffer.from([9, 8]);
    const [gathered] = await ranks.allgatherBytes(bytes);
    bytes[0] = 1;
    expect(gathered).toEqual(Uint8Array.of(9, 8));
    expect(gathered!.buffer.byteLength).toBe(2);
  });
});

describe('detectLaunch', () => {
  it('knows the launchers by their variables', () => {
    expect(detectLaunch({})).toBeNull();
    expect(detectLaunch({ OMPI_COMM_WORLD_SIZE: '4', PMIX_RANK: '0' })).toMatchObject({
      size: 4,
      pmi: false,
    });
    expect(detectLaunch({ PMIX_RANK: '2', SLURM_STEP_ID: '0', SLURM_STEP_NUM_TASKS: '8' })).toMatchObject({
      size: 8,
      pmi: false,
    });
    expect(detectLaunch({ PMI_RANK: '1', PMI_SIZE: '2' })).toMatchObject({ size: 2, pmi: true });
  });

  it('runs alone in a batch script, where Slurm names the tasks of the allocation', () => {
    // slurm.h: SLURM_BATCH_SCRIPT is 0xfffffffb; the script itself is one process.
    const batch = { SLURM_STEP_ID: '4294967291', SLURM_NTASKS: '8', SLURM_STEP_NUM_TASKS: '8' };
    expect(detectLaunch(batch)).toBeNull();
  });

  it('refuses srun without an MPI interface', () => {
    expect(() => detectLaunch({ SLURM_STEP_ID: '0', SLURM_STEP_NUM_TASKS: '4' })).toThrow(MpiError);
    expect(detectLaunch({ SLURM_STEP_ID: '0', SLURM_STEP_NUM_TASKS: '1' })).toBeNull();
  });
});
