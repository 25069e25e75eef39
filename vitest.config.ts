import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Against what hangs; a machine that does other work too is no reason to fail.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    // Native libraries (ONNX Runtime, LanceDB) are safest with a process of their own per file.
    pool: 'forks',
    maxWorkers: 2,
    reporters: process.env.CI ? ['default', ['json', { outputFile: '.precess/tests.json' }]] : ['default'],
  },
});
