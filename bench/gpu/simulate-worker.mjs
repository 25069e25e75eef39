// A thread that simulates studies for bench/gpu/pretrain.mjs: volumes in memory that other threads can read.
import { parentPort } from 'node:worker_threads';
import { simulateStudy } from '../../dist/simulate/index.js';

parentPort.on('message', ({ patient, seed, size }) => {
  const study = simulateStudy({ patient, seed, size });
  const series = study.series.map(({ volume, text, contrast, plane, bodyPart }) => {
    const shared = new volume.data.constructor(new SharedArrayBuffer(volume.data.byteLength));
    shared.set(volume.data);
    return { volume: { ...volume, data: shared }, text, contrast, plane, bodyPart };
  });
  parentPort.postMessage({ patient, series });
});
