import { spawnSync } from 'node:child_process';
import { writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { add, Graph, mul, reduceSum } from '../../src/graph/index.js';
import { openDevice, physicalCores, RuntimeError, type Device } from '../../src/runtime/index.js';

let device: Device;
beforeAll(async () => {
  device = await openDevice({ kind: 'cpu', threads: 1 });
});
afterAll(() => device.close());

/** y = 2 x, sum = Σ x */
function doubling(name = 'doubling'): Graph {
  const graph = new Graph(name);
  const x = graph.input('x', 'float32', [3]);
  graph.output('y', mul(x, 2));
  graph.output('sum', reduceSum(x));
  return graph;
}

describe('programs', () => {
  it('describe themselves and run with typed arrays', async () => {
    const program = await device.load(doubling());
    expect(program.inputs).toEqual([{ name: 'x', dtype: 'float32', shape: [3] }]);
    expect(program.outputs.map(({ name }) => name)).toEqual(['y', 'sum']);
    const x = Float32Array.of(1, 2, 3);
    expect(await program.run({ x })).toEqual({ y: Float32Array.of(2, 4, 6), sum: Float32Array.of(6) });
    expect(x.length, 'the input still belongs to the caller').toBe(3);
    expect(await program.run({ x }, { fetch: ['sum'] })).toEqual({ sum: Float32Array.of(6) });
  });

  it('take every dtype', async () => {
    const graph = new Graph('dtypes');
    for (const dtype of ['float32', 'float16', 'int32', 'int64', 'bool'] as const) {
      graph.output(`${dtype} out`, graph.input(dtype, dtype, [2]));
    }
    const inputs = {
      float32: Float32Array.of(1, 2),
      float16: Uint16Array.of(0x3c00, 0x4000),
      int32: Int32Array.of(1, -2),
      int64: BigInt64Array.of(1n, -(2n ** 60n)),
      bool: Uint8Array.of(1, 0),
    };
    const out = await (await device.load(graph)).run(inputs);
    for (const [dtype, data] of Object.entries(inputs)) {
      const found = out[`${dtype} out`]!;
      expect(new Uint8Array(found.buffer, found.byteOffset, found.byteLength)).toEqual(
        new Uint8Array(data.buffer),
      );
    }
  });

  it('load from a file and from bytes', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'precess-device-'));
    const file = join(directory, 'doubling.onnx');
    writeFileSync(file, doubling().toOnnx());
    for (const model of [file, doubling().toOnnx()]) {
      const program = await device.load(model);
      expect((await program.run({ x: new Float32Array(3) }))['y']).toEqual(new Float32Array(3));
    }
    rmSync(directory, { recursive: true });
  });

  it('refuse what does not fit, naming the program and the tensor', async () => {
    const program = await device.load(doubling());
    const x = new Float32Array(3);
    await expect(program.run({})).rejects.toThrow('run "doubling": input "x" is not given');
    await expect(program.run({ x, z: x })).rejects.toThrow('there is no input "z"; it has x');
    await expect(program.run({ x: new Float32Array(4) })).rejects.toThrow(
      /input "x": shape \[3\] holds 3 elements, got 4/,
    );
    await expect(program.run({ x: new Int32Array(3) })).rejects.toThrow(
      /float32 needs a Float32Array, got a Int32Array/,
    );
    await expect(program.run({ x }, { fetch: ['q'] })).rejects.toThrow(
      'there is no output "q"; it has y, sum',
    );
    const short = await device.buffer('float32', [2]);
    await expect(program.run({ x: short })).rejects.toThrow(
      /"x" is float32 \[3\], got a buffer of float32 \[2\]/,
    );
    await expect(program.run({ x: short })).rejects.toThrow(RuntimeError);
  });

  it('report errors of the thread', async () => {
    await expect(device.load(new Uint8Array([1, 2, 3]), { name: 'junk' })).rejects.toThrow(/^load "junk": /);
    await expect(device.load('no such file.onnx')).rejects.toThrow(/^load "no such file.onnx": /);
    const graph = new Graph('out of range');
    const table = graph.input('table', 'float32', [2]);
    const index = graph.input('index', 'int64', [1]);
    graph.output('y', graph.emit('Gather', [table, index], [{ dtype: 'float32', shape: [1] }])[0]!);
    const program = await device.load(graph);
    await expect(program.run({ table: new Float32Array(2), index: BigInt64Array.of(5n) })).rejects.toThrow(
      /^run "out of range": .*out of data bounds/,
    );
    // and the thread lives on
    await program.run({ table: new Float32Array(2), index: BigInt64Array.of(1n) });
    await program.free();
    await expect(program.run({ table: new Float32Array(2), index: BigInt64Array.of(1n) })).rejects.toThrow(
      'run "out of range": the program has been freed',
    );
  });
});

describe('resident buffers', () => {
  it('start as zeros or data, are read and written as copies', async () => {
    const data = Int32Array.of(1, 2);
    const buffer = await device.buffer('int32', [2], data);
    data[0] = 9;
    expect(await buffer.read()).toEqual(Int32Array.of(1, 2));
    await buffer.write(Int32Array.of(3, 4));
    expect(await buffer.read()).toEqual(Int32Array.of(3, 4));
    expect(await (await device.buffer('bool', [2, 2])).read()).toEqual(new Uint8Array(4));
    await expect(buffer.write(Int32Array.of(1))).rejects.toThrow(RuntimeError);
    await buffer.free();
    await expect(buffer.read()).rejects.toThrow('read: the buffer has been freed');
  });

  it('keep results on the device, also in place of an input of the same run', async () => {
    const graph = new Graph('fibonacci');
    const [a, b] = [graph.input('a', 'float32', [2]), graph.input('b', 'float32', [2])];
    graph.output('next', add(a, b));
    graph.output('last', b);
    const program = await device.load(graph);
    const state = {
      a: await device.buffer('float32', [2]),
      b: await device.buffer('float32', [2], Float32Array.of(1, 10)),
    };
    for (let i = 0; i < 9; i++) {
      expect(await program.run(state, { into: { next: state.b, last: state.a } })).toEqual({});
    }
    expect(await state.b.read()).toEqual(Float32Array.of(55, 550));
    expect(await state.a.read()).toEqual(Float32Array.of(34, 340));
  });

  it('belong to one device', async () => {
    const other = await openDevice({ kind: 'cpu', threads: 1 });
    const buffer = await other.buffer('float32', [3]);
    const program = await device.load(doubling());
    await expect(program.run({ x: buffer })).rejects.toThrow(/belongs to another device/);
    await other.close();
  });
});

describe('devices', () => {
  it('answer overlapping calls in order', async () => {
    const program = await device.load(doubling());
    const runs = Array.from({ length: 20 }, (_, i) =>
      program.run({ x: Float32Array.of(i, 0, 0) }, { fetch: ['sum'] }),
    );
    expect((await Promise.all(runs)).map(({ sum }) => sum![0])).toEqual(
      Array.from({ length: 20 }, (_, i) => i),
    );
  });

  it('close once, and refuse work after', async () => {
    const short = await openDevice({ kind: 'cpu' });
    expect(short.threads).toBe(physicalCores());
    const program = await short.load(doubling());
    await short.close();
    await short.close();
    await expect(program.run({ x: new Float32Array(3) })).rejects.toThrow(/the device is closed/);
    await expect(openDevice({ kind: 'cpu', threads: 0 })).rejects.toThrow(RuntimeError);
  });

  it('say when there is no GPU', () => {
    const runtime = fileURLToPath(new URL('../../dist/runtime/index.js', import.meta.url));
    const script = `
      const { openDevice } = await import(${JSON.stringify(runtime)});
      await openDevice({ kind: 'webgpu' }).then(
        () => console.log('opened'),
        (error) => console.log(error.name + ': ' + error.message),
      );`;
    // A driver list that names no file leaves Vulkan without a device.
    const env = { ...process.env, VK_ICD_FILENAMES: '/nonexistent', VK_DRIVER_FILES: '/nonexistent' };
    const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      timeout: 30_000,
      env,
    });
    expect(status).toBe(0);
    if (process.platform === 'linux') {
      expect(stdout).toBe('RuntimeError: openDevice: WebGPU is not available here; use the cpu device\n');
    }
  });

  it.each(['await device.close();', ''])('let the process end after "%s"', (ending) => {
    const runtime = fileURLToPath(new URL('../../dist/runtime/index.js', import.meta.url));
    const graph = fileURLToPath(new URL('../../dist/graph/index.js', import.meta.url));
    const script = `
      const { openDevice } = await import(${JSON.stringify(runtime)});
      const { Graph, neg } = await import(${JSON.stringify(graph)});
      const device = await openDevice({ kind: 'cpu' });
      const g = new Graph();
      g.output('y', neg(g.input('x', 'float32', [1])));
      const program = await device.load(g);
      const { y } = await program.run({ x: Float32Array.of(4) });
      ${ending}
      console.log(y[0]);`;
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      timeout: 30_000,
    });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '-4\n', stderr: '' });
  });
});
