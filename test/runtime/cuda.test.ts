/** CUDA where there is none: what is asked of ONNX Runtime, and what a person is told. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { providersOf } from '../../src/runtime/cpu.js';
import { openDevice, RuntimeError } from '../../src/runtime/index.js';
import { skipped } from '../data.js';

const library = join(
  dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json')),
  'bin/napi-v6/linux/x64/libonnxruntime_providers_cuda.so',
);

describe('the cuda device', () => {
  it('asks for CUDA first, and for the CPU where CUDA has no kernel; the cpu device never asks for it', () => {
    expect(providersOf('cuda')).toEqual(['cuda', 'cpu']);
    expect(providersOf('cpu')).toEqual(['cpu']);
  });

  it.skipIf(skipped(existsSync(library), 'ONNX Runtime has its CUDA provider here'))(
    'says what to install where the provider is missing, with the runtime’s own reason',
    async () => {
      const error = await openDevice({ kind: 'cuda', threads: 1 }).catch((one: unknown) => one);
      expect(error).toBeInstanceOf(RuntimeError);
      expect((error as Error).message).toMatch(
        /CUDA must be available.*--onnxruntime-node-install=cuda12.*--device cpu/,
      );
      expect(((error as Error).cause as Error).message).toMatch(/provider/i);
    },
  );
});
