/** Whether this process was started by an MPI launcher, and by which. */
import { MpiError } from './communicator.js';

/** What the launcher's environment says of the job. */
export interface Launch {
  /** For messages: the launcher and the variable that tells. */
  readonly by: string;
  /** Processes of the job, where the launcher says it. */
  readonly size: number | null;
  /** Whether the launcher speaks the process interface of MPICH and its kin (PMI) rather than Open MPI's (PMIx). */
  readonly pmi: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Step numbers from here on are Slurm's own: the batch script, an interactive shell, a container's shell. */
const SLURM_OWN_STEPS = 0xfffffff0;

/**
 * The launch of this process, null where it runs alone: mpirun and mpiexec of Open MPI (`OMPI_COMM_WORLD_SIZE`), srun
 * with `--mpi=pmix` (`PMIX_RANK`) or `--mpi=pmi2` (`PMI_SIZE`), mpiexec of MPICH and Intel MPI (`PMI_SIZE`).
 * @throws MpiError for srun with several tasks and no MPI interface: each would take itself for the whole job.
 */
export function detectLaunch(env: Environment): Launch | null {
  const count = (name: string): number | null => {
    const n = Number(env[name]);
    return env[name] !== undefined && Number.isSafeInteger(n) && n > 0 ? n : null;
  };
  const open = count('OMPI_COMM_WORLD_SIZE');
  if (open !== null) return { by: 'mpirun (OMPI_COMM_WORLD_SIZE)', size: open, pmi: false };
  const step = Number(env.SLURM_STEP_ID ?? SLURM_OWN_STEPS);
  const tasks = step < SLURM_OWN_STEPS ? count('SLURM_STEP_NUM_TASKS') : null;
  if (env.PMIX_RANK !== undefined) return { by: 'a PMIx launcher (PMIX_RANK)', size: tasks, pmi: false };
  const pmi = count('PMI_SIZE');
  if (pmi !== null) return { by: 'a PMI launcher (PMI_SIZE)', size: pmi, pmi: true };
  if (tasks !== null && tasks > 1)
    throw new MpiError(
      `mpi: srun starts ${tasks} tasks (SLURM_STEP_NUM_TASKS) without an MPI interface, so each would run alone; ` +
        'use srun --mpi=pmix ("srun --mpi=list" tells what there is), or mpirun inside the allocation',
    );
  return null;
}

/** The rank that the launcher gave this process, before MPI is opened: 0 where it runs alone. */
export function launchedRank(env: Environment): number {
  const rank = Number(env.OMPI_COMM_WORLD_RANK ?? env.PMIX_RANK ?? env.PMI_RANK ?? 0);
  return Number.isSafeInteger(rank) && rank > 0 ? rank : 0;
}
