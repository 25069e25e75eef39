/** Optimisers as graph programs over flat vectors, and schedules. */
export { adamw, stepInputs, type AdamWConfig, type StepScalars } from './adamw.js';
export { warmupCosine, type WarmupCosine } from './schedule.js';
