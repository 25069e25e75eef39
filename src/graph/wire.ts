/**
 * Protocol Buffers wire format, the writing half that ONNX needs. A message is a list of pieces whose total length
 * is known, so nesting copies nothing: a gigabyte of weights is copied once, by `finish`.
 */
import { GraphError } from './graph.js';

const VARINT = 0;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;
/** Protocol Buffers' own limit, which every reader keeps. */
const MAX_BYTES = 2 ** 31 - 1;

const utf8 = new TextEncoder();

export class ProtoMessage {
  readonly #pieces: Uint8Array[] = [];
  #length = 0;

  /** Fields int32, int64, enum and bool. */
  varint(field: number, value: number): this {
    return this.#push(encodeVarint(field * 8 + VARINT)).#push(encodeVarint(value));
  }

  float(field: number, value: number): this {
    const piece = new Uint8Array(4);
    new DataView(piece.buffer).setFloat32(0, value, true);
    return this.#push(encodeVarint(field * 8 + FIXED32)).#push(piece);
  }

  string(field: number, value: string): this {
    return this.bytes(field, utf8.encode(value));
  }

  bytes(field: number, value: Uint8Array): this {
    return this.#push(encodeVarint(field * 8 + LENGTH_DELIMITED))
      .#push(encodeVarint(value.length))
      .#push(value);
  }

  message(field: number, value: ProtoMessage): this {
    this.#push(encodeVarint(field * 8 + LENGTH_DELIMITED)).#push(encodeVarint(value.#length));
    for (const piece of value.#pieces) this.#pieces.push(piece);
    this.#length += value.#length;
    return this;
  }

  finish(): Uint8Array {
    if (this.#length > MAX_BYTES) {
      throw new GraphError(
        `toOnnx: a program file holds at most 2 GiB, got ${this.#length} bytes; give the weights as inputs instead`,
      );
    }
    const bytes = new Uint8Array(this.#length);
    let offset = 0;
    for (const piece of this.#pieces) {
      bytes.set(piece, offset);
      offset += piece.length;
    }
    return bytes;
  }

  #push(piece: Uint8Array): this {
    this.#pieces.push(piece);
    this.#length += piece.length;
    return this;
  }
}

/** Base-128 digits, least significant first; a negative number as its 64-bit two's complement. */
function encodeVarint(value: number): Uint8Array {
  const digits: number[] = [];
  if (value < 0) {
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest > 127n; rest >>= 7n) digits.push(Number(rest & 127n) | 128);
    digits.push(Number(rest));
  } else {
    let rest = value;
    for (; rest > 127; rest = Math.floor(rest / 128)) digits.push((rest % 128) | 128);
    digits.push(rest);
  }
  return Uint8Array.from(digits);
}
