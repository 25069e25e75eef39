/** The functions of the system's MPI library, called through its C interface. */
import koffi, { type LibraryHandle, type TypeObject } from 'koffi';
import { MpiError } from './communicator.js';

/** Handles are addresses in Open MPI and numbers in the MPICH family. */
type Handle = bigint | number;

/**
 * What differs between the two binary interfaces: Open MPI 4 and 5 (libmpi.so.40, mpi.h: handles are addresses of the
 * library's objects, MPI_IN_PLACE is 1) and the MPICH ABI of MPICH, Intel MPI, MVAPICH and Cray MPI (libmpi.so.12,
 * mpi.h of MPICH: fixed numbers, MPI_IN_PLACE is -1).
 */
interface Interface {
  readonly handle: 'void *' | 'int';
  readonly inPlace: bigint | number;
  readonly world: Handle;
  readonly float: Handle;
  readonly double: Handle;
  readonly byte: Handle;
  readonly sum: Handle;
}

/** Several threads may call, one at a time: MPI 4.0, section 11.6.2, and its value in both interfaces. */
const THREAD_SERIALIZED = 2;

const MPICH: Interface = {
  handle: 'int',
  inPlace: -1,
  world: 0x44000000,
  float: 0x4c00040a,
  double: 0x4c00080b,
  byte: 0x4c00010d,
  sum: 0x58000003,
};

function openMpi(library: LibraryHandle): Interface | null {
  const symbol = (name: string): bigint => library.symbol(name) as bigint;
  try {
    return {
      handle: 'void *',
      inPlace: 1,
      world: symbol('ompi_mpi_comm_world'),
      float: symbol('ompi_mpi_float'),
      double: symbol('ompi_mpi_double'),
      byte: symbol('ompi_mpi_byte'),
      sum: symbol('ompi_mpi_op_sum'),
    };
  } catch {
    return null;
  }
}

/** File names under which the two interfaces are installed. */
const OPEN_MPI_FILES = ['libmpi.so.40', 'libmpi.40.dylib'];
const MPICH_FILES = ['libmpi.so.12', 'libmpich.so.12', 'libmpi.12.dylib'];

type Argument = ArrayBufferView | Handle | null;

/** One loaded MPI library. Every call that can wait for other ranks runs on a thread of its own. */
export class MpiLibrary {
  readonly #library: LibraryHandle;
  readonly #interface: Interface;
  readonly #functions = new Map<string, ReturnType<LibraryHandle['func']>>();

  /**
   * @param pmi the launcher speaks PMI, so that the MPICH family is the likelier one.
   * @throws MpiError when no MPI library can be loaded.
   */
  constructor(by: string, pmi: boolean) {
    const named = process.env.PRECESS_MPI_LIBRARY;
    const files = pmi ? [...MPICH_FILES, ...OPEN_MPI_FILES] : [...OPEN_MPI_FILES, ...MPICH_FILES];
    const found = firstOf(named !== undefined && named !== '' ? [named] : files);
    if (found === null)
      throw new MpiError(
        `mpi: ${by} started this process, but ${named ?? files.join(', ')} cannot be loaded; install the library of ` +
          'that MPI (Debian: apt-get install openmpi-bin libopenmpi-dev) or name its file in PRECESS_MPI_LIBRARY',
      );
    this.#library = found;
    this.#interface = openMpi(found) ?? MPICH;
  }

  /** @throws MpiError when the library cannot be called from more than one thread. */
  init(): { rank: number; size: number } {
    const provided = new Int32Array(1);
    this.#now(
      'MPI_Init_thread',
      ['void *', 'void *', 'int', 'void *'],
      null,
      null,
      THREAD_SERIALIZED,
      provided,
    );
    if (provided[0]! < THREAD_SERIALIZED)
      throw new MpiError(
        `mpi: MPI_THREAD_SERIALIZED is needed, the library gives level ${provided[0]!}; use a build of MPI with threads`,
      );
    const { handle, world } = this.#interface;
    const [rank, size] = [new Int32Array(1), new Int32Array(1)];
    this.#now('MPI_Comm_rank', [handle, 'void *'], world, rank);
    this.#now('MPI_Comm_size', [handle, 'void *'], world, size);
    return { rank: rank[0]!, size: size[0]! };
  }

  /** Tells the others that this rank has come here; the returned function says whether all have. */
  arrive(): () => boolean {
    const { handle, world } = this.#interface;
    const request = new BigUint64Array(1);
    this.#now('MPI_Ibarrier', [handle, 'void *'], world, request);
    const flag = new Int32Array(1);
    // MPI_STATUS_IGNORE is 0 in Open MPI and 1 in MPICH; a place to write to suits both.
    const status = new Int32Array(16);
    return () => {
      this.#now('MPI_Test', ['void *', 'void *', 'void *'], request, flag, status);
      return flag[0] !== 0;
    };
  }

  async allreduce(data: Float32Array | Float64Array): Promise<void> {
    const { handle, inPlace, sum, world } = this.#interface;
    const types = ['intptr', 'void *', 'int', handle, handle, handle];
    await this.#later('MPI_Allreduce', types, inPlace, data, data.length, this.#type(data), sum, world);
  }

  async reduceScatter(data: Float32Array, into: Float32Array): Promise<void> {
    const { handle, sum, world } = this.#interface;
    const types = ['void *', 'void *', 'int', handle, handle, handle];
    await this.#later(
      'MPI_Reduce_scatter_block',
      types,
      data,
      into,
      into.length,
      this.#type(data),
      sum,
      world,
    );
  }

  async allgather(own: Float32Array | Float64Array, into: Float32Array | Float64Array): Promise<void> {
    const { handle, world } = this.#interface;
    const type = this.#type(own);
    const types = ['void *', 'int', handle, 'void *', 'int', handle, handle];
    await this.#later('MPI_Allgather', types, own, own.length, type, into, own.length, type, world);
  }

  async allgatherBytes(own: Uint8Array, into: Uint8Array, counts: Int32Array): Promise<void> {
    const { handle, byte, world } = this.#interface;
    const offsets = new Int32Array(counts.length);
    for (let r = 1; r < counts.length; r++) offsets[r] = offsets[r - 1]! + counts[r - 1]!;
    const types = ['void *', 'int', handle, 'void *', 'void *', 'void *', handle, handle];
    await this.#later('MPI_Allgatherv', types, own, own.length, byte, into, counts, offsets, byte, world);
  }

  async broadcast(data: Uint8Array, root: number): Promise<void> {
    const { handle, byte, world } = this.#interface;
    await this.#later(
      'MPI_Bcast',
      ['void *', 'int', handle, 'int', handle],
      data,
      data.length,
      byte,
      root,
      world,
    );
  }

  abort(code: number): void {
    const { handle, world } = this.#interface;
    this.#now('MPI_Abort', [handle, 'int'], world, code);
  }

  async finalize(): Promise<void> {
    await this.#later('MPI_Finalize', []);
  }

  #type(data: Float32Array | Float64Array): Handle {
    return data instanceof Float32Array ? this.#interface.float : this.#interface.double;
  }

  #function(name: string, types: string[]): ReturnType<LibraryHandle['func']> {
    let fn = this.#functions.get(name);
    if (!fn) {
      fn = this.#library.func(name, 'int', types as unknown as TypeObject[]);
      this.#functions.set(name, fn);
    }
    return fn;
  }

  #now(name: string, types: string[], ...values: Argument[]): void {
    check(name, this.#function(name, types)(...values) as number);
  }

  #later(name: string, types: string[], ...values: Argument[]): Promise<void> {
    return new Promise<number>((resolve, reject) => {
      this.#function(name, types).async(...values, (error: Error | null, code: number) => {
        if (error) reject(error);
        else resolve(code);
      });
    }).then((code) => check(name, code));
  }
}

/** By default MPI itself ends the job at an error; this is for a library that was told to return it. */
function check(name: string, code: number): void {
  if (code !== 0)
    throw new MpiError(`mpi: ${name} failed with code ${code}; the job cannot go on, start it again`);
}

function firstOf(files: readonly string[]): LibraryHandle | null {
  // Collectives of large messages are recursive in some libraries; the default stack of such a call is 256 KiB.
  koffi.config({ ...koffi.config(), async_stack_size: 2 ** 20 });
  for (const file of files) {
    try {
      // Open MPI's plug-ins look for the library's symbols among the global ones.
      return koffi.load(file, { global: true });
    } catch {
      // The next name is tried.
    }
  }
  return null;
}
