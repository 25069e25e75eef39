/** The `precess` command: parses, calls the library, prints. */
import { Command, CommanderError } from 'commander';
import { launchedRank } from '../mpi/index.js';
import { registerCorpus } from './corpus.js';
import { registerDeidentify } from './deidentify.js';
import { registerDemo } from './demo.js';
import { registerEvaluate } from './evaluate.js';
import { registerExport } from './export.js';
import { registerFit } from './fit.js';
import { registerGround } from './ground.js';
import { registerImport } from './import.js';
import { registerIngest } from './ingest.js';
import { registerPredict } from './predict.js';
import { registerRuns } from './runs.js';
import { registerSearch } from './search.js';
import { registerSegment } from './segment.js';
import { explain, Interrupted, log, UsageError } from './shared.js';
import { registerTraining } from './train.js';

// Under mpirun the same command line is wrong on every rank; one says so.
const first = launchedRank(process.env) === 0;

const program = new Command('precess')
  .description('An open, full 3D, full-body MRI foundation-model system.')
  .version('0.1.0')
  .showHelpAfterError('(precess COMMAND --help shows the options and an example)')
  .exitOverride()
  .configureOutput({ outputError: (text, write) => (first ? write(text) : undefined) });

registerDemo(program);
registerIngest(program);
registerCorpus(program);
registerDeidentify(program);
registerTraining(program);
registerRuns(program);
registerSearch(program);
registerGround(program);
registerFit(program);
registerPredict(program);
registerSegment(program);
registerEvaluate(program);
registerExport(program);
registerImport(program);
for (const command of program.commands) command.exitOverride();

/** Runs the command line and returns the exit status: 0 success, 1 failure, 2 usage, 130 interrupted. */
async function run(argv: string[]): Promise<number> {
  try {
    await program.parseAsync(argv);
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof UsageError) {
      if (first) log(`precess: ${error.message}`);
      return 2;
    }
    if (error instanceof Interrupted) {
      log(`precess: ${error.message}`);
      return 130;
    }
    log(`precess: ${explain(error)}`);
    if (process.env.PRECESS_DEBUG && error instanceof Error) log(error.stack ?? '');
    return 1;
  }
}

// A closed pipe (precess … | head) is the reader's choice, not a failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await run(process.argv);
