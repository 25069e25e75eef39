/** Bounds what an unfriendly peer of an association can make the DIMSE library hold. */

/** Longest protocol data unit that is let through; the association asks for 256 KiB at most. */
const MOST_PDU_BYTES = 2 ** 20;
/** What may come without becoming a message or part of an instance. */
const MOST_UNCLAIMED_BYTES = 4 * 2 ** 20;

/**
 * Follows the stream of protocol data units (PS3.8 section 9.3.1: type, reserved, 32-bit length). The library gathers a
 * unit of any length and a command of any number of units; here a unit that is too long, or too much that leads to
 * nothing, is noticed before it is gathered.
 */
export class PduGuard {
  private readonly header = Buffer.alloc(6);
  private headerBytes = 0;
  private left = 0;
  private unclaimed = 0;

  /** Whether the stream is acceptable with these bytes added. */
  accepts(chunk: Uint8Array): boolean {
    this.unclaimed += chunk.length;
    for (let at = 0; at < chunk.length;) {
      if (this.left > 0) {
        const step = Math.min(this.left, chunk.length - at);
        this.left -= step;
        at += step;
        continue;
      }
      this.header[this.headerBytes++] = chunk[at++]!;
      if (this.headerBytes < this.header.length) continue;
      this.headerBytes = 0;
      this.left = this.header.readUInt32BE(2);
      if (this.left > MOST_PDU_BYTES) return false;
    }
    return this.unclaimed <= MOST_UNCLAIMED_BYTES;
  }

  /** What came so far was of use. */
  claim(): void {
    this.unclaimed = 0;
  }
}
