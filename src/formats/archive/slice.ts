/** Members that lie in their archive as they are. */
import { type ByteSource, FillingSource } from '../byte-source.js';

export class Slice extends FillingSource {
  constructor(
    readonly name: string,
    private readonly archive: ByteSource,
    private readonly start: number,
    readonly size: number,
  ) {
    super();
  }

  readInto(offset: number, target: Uint8Array): Promise<number> {
    const there = Math.max(0, Math.min(target.length, this.size - offset));
    return this.archive.readInto(this.start + offset, target.subarray(0, there));
  }

  close(): Promise<void> {
    return this.archive.close();
  }
}
