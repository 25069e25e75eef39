/** What an archive holds, whichever kind it is. */
import type { ByteSource } from '../byte-source.js';
import { ArchiveError } from './error.js';

export interface SkippedMember {
  /** As the archive calls it. */
  readonly name: string;
  readonly reason: string;
}

/** An archive's table of contents, with a way into each member. Holds no open file. */
export interface Archive {
  /** Name → bytes unpacked, in the order of the archive. */
  readonly members: ReadonlyMap<string, number>;
  readonly skipped: readonly SkippedMember[];
  /** Opens a member that `members` has; `path` names it in messages. */
  open(name: string, path: string): Promise<ByteSource>;
  close(): Promise<void>;
}

/** No archive of images has more members; one that declares more is made to exhaust memory. */
export const MOST_MEMBERS = 2_000_000;

/** Collects members; keeps out names that lead elsewhere or were there before. */
export class Contents<T> {
  readonly members = new Map<string, T>();
  readonly skipped: SkippedMember[] = [];

  constructor(private readonly archive: string) {}

  skip(name: string, reason: string): void {
    this.count();
    this.skipped.push({ name, reason });
  }

  add(name: string, member: T): void {
    const tidy = name.replace(/^(\.\/+)+/, '');
    const repeated = this.members.has(tidy) ? 'the archive has another member of this name' : null;
    const wrong = wrongName(name) ?? repeated;
    if (wrong !== null) {
      this.skip(name, wrong);
      return;
    }
    this.count();
    this.members.set(tidy, member);
  }

  private count(): void {
    if (this.members.size + this.skipped.length >= MOST_MEMBERS)
      throw new ArchiveError(
        `read archive: ${this.archive} must have at most ${MOST_MEMBERS} members, got more; unpack it with a tool you trust`,
      );
  }
}

/** Why a member is not read whose name would lead out of the archive's folder; null where it would not. */
function wrongName(name: string): string | null {
  if (name === '' || name.includes('\0')) return 'its name in the archive is empty or damaged';
  if (/^([/\\]|[A-Za-z]:[/\\])/.test(name)) return 'its name in the archive is an absolute path';
  if (name.split(/[/\\]/).includes('..')) return 'its name in the archive leads out of it ("..")';
  return null;
}
