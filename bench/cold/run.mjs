// Cold start: one whole process from a folder of DICOM to its vector, beside the same job in Python, in one run.
//   npm run bench:cold -- [--folder DIR] [--repeats N] [--threads N] [--json]
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { values } = parseArgs({
  options: {
    folder: { type: 'string' },
    repeats: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
  },
});
const data = process.env.PRECESS_DATA ?? join(root, '../shared/data');
const folder = values.folder ?? join(data, 'brain-uih-dicom/DTI_132225/t1_gre_fsp_3d_sag__132750');
const python = process.env.PRECESS_PYTHON ?? 'python3';
if (spawnSync(python, ['-c', 'import torch, monai, pydicom, einops'], { stdio: 'ignore' }).status !== 0) {
  console.error(
    `bench: ${python} has no torch, monai, pydicom and einops; "pip install torch monai pydicom einops" in a virtual`,
  );
  console.error('environment and name its python in PRECESS_PYTHON');
  process.exit(1);
}

/** Runs a command to its end: wall seconds and peak resident memory in MB. */
function measure(command, args) {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let peak = 0;
    let stderr = '';
    // VmHWM is the high-water mark that the kernel keeps, so polling loses only what the last moment adds.
    const poll = setInterval(() => {
      try {
        const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
        peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
      } catch {
        // The process has just ended.
      }
    }, 10);
    child.stdout.resume();
    child.stderr.on('data', (chunk) => (stderr += chunk));
    child.on('close', (code) => {
      clearInterval(poll);
      if (code !== 0) reject(new Error(`${command} ${args.join(' ')} ended with ${code}\n${stderr}`));
      else resolve({ seconds: (performance.now() - began) / 1000, megabytes: peak });
    });
  });
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

// Speed and memory do not depend on the weights, so fresh ones of size nano (width 192, 8 layers) are enough.
const scratch = mkdtempSync(join(tmpdir(), 'precess-cold-'));
try {
  const { modelConfig, newModel, writeModel } = await import(join(root, 'dist/index.js'));
  const model = join(scratch, 'model.safetensors');
  await writeModel(model, newModel(modelConfig('nano'), 0));
  const jobs = {
    precess: [
      process.execPath,
      [join(root, 'bin/precess'), 'embed', folder, '--model', model, '--threads', values.threads, '--json'],
    ],
    'pydicom + MONAI + PyTorch': [
      python,
      [join(dirname(fileURLToPath(import.meta.url)), 'peer.py'), folder, values.threads],
    ],
  };
  const runs = Object.fromEntries(Object.keys(jobs).map((name) => [name, []]));
  for (const job of Object.values(jobs)) await measure(...job); // files into the page cache
  for (let n = 0; n < Number(values.repeats); n++)
    for (const [name, job] of Object.entries(jobs)) runs[name].push(await measure(...job));
  const result = Object.fromEntries(
    Object.entries(runs).map(([name, all]) => [
      name,
      { seconds: median(all.map((r) => r.seconds)), megabytes: median(all.map((r) => r.megabytes)) },
    ]),
  );
  const [ours, peer] = Object.values(result);
  const ratio = { time: ours.seconds / peer.seconds, memory: ours.megabytes / peer.megabytes };
  if (values.json)
    console.log(
      JSON.stringify({ cpu: cpus()[0].model, threads: Number(values.threads), result, ratio }, null, 2),
    );
  else {
    console.log(`${cpus()[0].model}, ${values.threads} threads, median of ${values.repeats} runs`);
    for (const [name, { seconds, megabytes }] of Object.entries(result))
      console.log(`  ${name.padEnd(28)} ${seconds.toFixed(2)} s   ${megabytes.toFixed(0)} MB`);
    console.log(`  ratio (less is better)       ${ratio.time.toFixed(2)}     ${ratio.memory.toFixed(2)}`);
  }
} finally {
  rmSync(scratch, { recursive: true });
}
