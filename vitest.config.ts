import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take minutes begin first, so that at the end no worker waits for the other. */
const LONGEST = ['demo/demo', 'cli/errors', 'cli/resume', 'train/job', 'train/memory', 'cli/'];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = LONGEST.findIndex((part) => moduleId.includes(`/test/${part}`));
      return at < 0 ? LONGEST.length : at;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    sequence: { sequencer: LongestFirst },
    // Against what hangs; a machine that does other work too is no reason to fail.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    // Native libraries (ONNX Runtime, LanceDB) are safest with a process of their own per file.
    pool: 'forks',
    // One more than the machines of CI have cores: some tests wait for other processes.
    maxWorkers: 3,
    reporters: process.env.CI ? ['default', ['json', { outputFile: '.precess/tests.json' }]] : ['default'],
  },
});
