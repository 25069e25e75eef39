/** Runs ONNX programs: devices, programs, resident buffers. */
export {
  openDevice,
  physicalCores,
  RuntimeError,
  type Device,
  type DeviceBuffer,
  type Program,
  type RunInput,
  type RunOptions,
} from './device.js';
export { DEVICE_KINDS } from './protocol.js';
export type { DeviceKind, DeviceOptions, HostInput, LoadOptions } from './protocol.js';
