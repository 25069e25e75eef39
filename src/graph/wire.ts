/**
 * Protocol Buffers wire format, the writing half that ONNX needs, written from the end to the start: by the time the
 * length of a nested message is due, its content is there. So nothing is copied from message to message, and a
 * gigabyte of weights is copied once. Whoever writes gives fields last to first.
 */
import { GraphError } from './graph.js';

const VARINT = 0;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;
/** Protocol Buffers' own limit, which every reader keeps. */
const MAX_BYTES = 2 ** 31 - 1;

const utf8 = new TextEncoder();
const scratch = new DataView(new ArrayBuffer(4));

export class ReverseWriter {
  #bytes: Uint8Array;
  /** Where the written part starts. */
  #start: number;

  /** @param expected bytes that will be written; more is possible, but costs a copy. */
  constructor(expected: number) {
    this.#bytes = new Uint8Array(checkSize(expected));
    this.#start = this.#bytes.length;
  }

  /** Fields int32, int64, enum and bool. */
  varint(field: number, value: number): void {
    this.#putVarint(value);
    this.#putVarint(field * 8 + VARINT);
  }

  float(field: number, value: number): void {
    scratch.setFloat32(0, value, true);
    this.#reserve(4);
    for (let i = 3; i >= 0; i--) this.#bytes[--this.#start] = scratch.getUint8(i);
    this.#putVarint(field * 8 + FIXED32);
  }

  string(field: number, value: string): void {
    this.bytes(field, utf8.encode(value));
  }

  bytes(field: number, value: Uint8Array): void {
    this.#reserve(value.length);
    this.#start -= value.length;
    this.#bytes.set(value, this.#start);
    this.#putLength(field, value.length);
  }

  /** A nested message: `content` writes its fields, last to first. */
  message(field: number, content: () => void): void {
    const before = this.#written;
    content();
    this.#putLength(field, this.#written - before);
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(this.#start);
  }

  get #written(): number {
    return this.#bytes.length - this.#start;
  }

  #putLength(field: number, length: number): void {
    this.#putVarint(length);
    this.#putVarint(field * 8 + LENGTH_DELIMITED);
  }

  /** Base-128 digits, least significant first; a negative number as its 64-bit two's complement. */
  #putVarint(value: number): void {
    this.#reserve(10);
    if (value >= 0 && value < 128) {
      this.#bytes[--this.#start] = value;
      return;
    }
    const digits: number[] = [];
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest > 127n; rest >>= 7n) digits.push(Number(rest & 127n) | 128);
    digits.push(Number(rest));
    while (digits.length > 0) this.#bytes[--this.#start] = digits.pop()!;
  }

  #reserve(length: number): void {
    if (length <= this.#start) return;
    const larger = new Uint8Array(checkSize(2 * (this.#bytes.length + length)));
    const start = larger.length - this.#written;
    larger.set(this.#bytes.subarray(this.#start), start);
    this.#bytes = larger;
    this.#start = start;
  }
}

function checkSize(bytes: number): number {
  if (bytes <= MAX_BYTES) return bytes;
  throw new GraphError(
    `toOnnx: a program file holds at most 2 GiB, got ${bytes} bytes; give the weights as inputs instead`,
  );
}
