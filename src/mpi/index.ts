/** Message passing between the processes of one job: MPI where a launcher started them, else a process alone. */
import { SingleProcess, type Communicator } from './communicator.js';
import { detectLaunch } from './launch.js';

export { MpiError, SingleProcess, type Communicator } from './communicator.js';
export { detectLaunch, launchedRank, type Launch } from './launch.js';

let opened: Promise<Communicator> | undefined;

/**
 * The communicator of this process, opened at the first call. Alone (rank 0 of 1) unless mpirun, srun or their kin
 * started it; then MPI is initialised through its C library (Open MPI 4 or 5, or the MPICH family).
 * @throws MpiError when a launcher started this process and its MPI library cannot be used.
 */
export function openCommunicator(): Promise<Communicator> {
  opened ??= open();
  return opened;
}

async function open(): Promise<Communicator> {
  const launch = detectLaunch(process.env);
  if (launch === null) return new SingleProcess();
  // Loaded only here, so that nobody needs the native call interface on one machine.
  const { MpiCommunicator } = await import('./mpi.js');
  return new MpiCommunicator(launch);
}
