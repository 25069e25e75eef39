/** Student-teacher pretraining through the training loop: WebGPU against the CPU. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

// Dawn finds its Vulkan driver through the environment, so that the run is a process of its own, with Debian
// chromium's software driver.
const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';
const SCRIPT = fileURLToPath(new URL('webgpu-pretrain.mjs', import.meta.url));

type Losses = Readonly<Record<'loss' | 'dino' | 'ibot' | 'koleo' | 'pixels', number>>;

it('pretrains for 20 steps with the losses of the CPU, its state in GPU buffers', (context) => {
  if (!existsSync(SWIFTSHADER)) {
    console.warn(`skipped: WebGPU, because ${SWIFTSHADER} is not there; install chromium`);
    return context.skip();
  }
  const folder = mkdtempSync(join(tmpdir(), 'precess-webgpu-'));
  const paths = ['/usr/lib/chromium', process.env.LD_LIBRARY_PATH].filter(Boolean).join(':');
  const env = { ...process.env, LD_LIBRARY_PATH: paths, VK_ICD_FILENAMES: SWIFTSHADER };
  const ran = spawnSync(process.execPath, [SCRIPT, folder], { encoding: 'utf8', env });
  rmSync(folder, { recursive: true });
  expect(ran.status, ran.stderr).toBe(0);
  if (ran.stdout.startsWith('no adapter')) {
    console.warn(`skipped: WebGPU, because of SwiftShader: ${ran.stdout.trim()}`);
    return context.skip();
  }
  const { webgpu, cpu } = JSON.parse(ran.stdout) as { webgpu: Losses[]; cpu: Losses[] };
  expect(cpu).toHaveLength(20);
  const last = (losses: Losses[]): number => losses.slice(-5).reduce((sum, { loss }) => sum + loss, 0) / 5;
  expect(last(cpu)).toBeLessThan(cpu[0]!.loss);
  const off = webgpu.flatMap((losses, step) =>
    Object.entries(losses).map(([name, value]) => Math.abs(value - cpu[step]![name as keyof Losses])),
  );
  expect(off).toHaveLength(100);
  expect(Math.max(...off)).toBeLessThan(1e-3);
}, 240_000);
