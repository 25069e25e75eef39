/** What the measurement of score against compute refuses before it makes anything. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const script = fileURLToPath(new URL('../../bench/compute/run.mjs', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'precess-bench-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('bench:compute', () => {
  it.each([
    ['mae', ['--objective', 'mae']],
    ['mae', ['--config', join(dir, 'mae.json')]],
    ['dinov9', ['--objective', 'dinov9']],
  ])('refuses %s, which it would bench as something else', (objective, args) => {
    writeFileSync(join(dir, 'mae.json'), JSON.stringify({ objective: 'mae' }));
    const out = join(dir, 'out');
    const result = spawnSync(process.execPath, [script, '--out', out, ...args], { encoding: 'utf8' });
    expect(result.stderr).toBe(
      `bench:compute: the objective must be one of dino, joint, slip, got "${objective}"; choose another --objective\n`,
    );
    expect(result).toMatchObject({ status: 2, stdout: '' });
    expect(existsSync(out)).toBe(false);
  });
});
