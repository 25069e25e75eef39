import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { opCases } from '../graph/cases.js';
import { drawInputs, gradientGraph } from '../graph/harness.js';

// A GPU is optional and Dawn finds its Vulkan driver through the environment, so the checks run in a process of
// their own: with the machine's driver, or with Debian chromium's software one (SwiftShader).
const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';
const environments: [string, NodeJS.ProcessEnv][] = [['the machine', process.env]];
if (existsSync(SWIFTSHADER)) {
  const paths = ['/usr/lib/chromium', process.env['LD_LIBRARY_PATH']].filter(Boolean).join(':');
  environments.push([
    'SwiftShader',
    { ...process.env, LD_LIBRARY_PATH: paths, VK_ICD_FILENAMES: SWIFTSHADER },
  ]);
}

/** One case of every op, with its gradients. */
function writePrograms(): { folder: string; count: number } {
  const folder = mkdtempSync(join(tmpdir(), 'precess-webgpu-'));
  const seen = new Set<string>();
  for (const op of opCases) {
    const [name] = op.name.split(' ') as [string];
    if (seen.has(name)) continue;
    seen.add(name);
    writeFileSync(join(folder, `${name}.onnx`), gradientGraph(op).graph.toOnnx({ spelled: true }));
    const inputs = drawInputs(op.inputs).map((data, i) => [
      `x${i}`,
      Array.from<number | bigint>(data).map(Number),
    ]);
    writeFileSync(join(folder, `${name}.json`), JSON.stringify(Object.fromEntries(inputs)));
  }
  return { folder, count: seen.size };
}

const { folder, count } = writePrograms();
function check(env: NodeJS.ProcessEnv): { status: number | null; stdout: string; stderr: string } {
  const script = fileURLToPath(new URL('webgpu-check.mjs', import.meta.url));
  return spawnSync(process.execPath, [script, folder], { encoding: 'utf8', env, timeout: 100_000 });
}

let found: ReturnType<typeof check> | undefined;
const reasons: string[] = [];
for (const [name, env] of environments) {
  const result = check(env);
  if (result.stdout.startsWith('no adapter')) reasons.push(`${name}: ${result.stdout.trim()}`);
  else {
    found = result;
    break;
  }
}
rmSync(folder, { recursive: true });
if (found === undefined) console.warn(`skipped: WebGPU, because of ${reasons.join('; ')}`);

describe.skipIf(found === undefined)('webgpu', () => {
  it('trains a block as the CPU does, with its state in GPU buffers, and runs every op', () => {
    const { status, stdout, stderr } = found!;
    expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
    const report = JSON.parse(stdout) as {
      losses: [number[], number[]];
      gradientError: number;
      trainedError: number;
      errors: Record<string, number>;
    };
    const [cpu, gpu] = report.losses;
    expect(cpu.at(-1)).toBeLessThan(cpu[0]!);
    gpu.forEach((loss, i) => expect(Math.abs(loss / cpu[i]! - 1)).toBeLessThan(1e-4));
    expect(report.gradientError).toBeLessThan(1e-4);
    // Adam divides by the gradient's size, so where that is tiny, rounding decides the direction of a step.
    expect(report.trainedError).toBeLessThan(1e-2);
    // WGSL lets sine and cosine be off by 2⁻¹¹.
    const allowed = (file: string): number => (/^(cos|sin)/.test(file) ? 2 ** -11 : 1e-4);
    expect(Object.entries(report.errors).filter(([file, error]) => !(error < allowed(file)))).toEqual([]);
    expect(Object.keys(report.errors).length).toBe(count);
  });
});
