/** A DIMSE storage listener (C-STORE and C-ECHO SCP, PS3.4 annexes A and B): scanners and archives push series to it. */
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import dimse from 'dcmjs-dimse';
import { PacsError } from './error.js';
import { HeldSeries, type ReceivedSeries } from './held.js';
import { IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION } from './part10.js';
import { type Counts, StorageAssociation } from './storage-association.js';

export interface ListenOptions {
  readonly port: number;
  /** Address to bind to; 127.0.0.1 where not given, so that nothing from outside gets in unasked. */
  readonly host?: string;
  /** The AE title that callers must name. */
  readonly aet: string;
  /** AE titles of callers; everyone where not given. */
  readonly allowAets?: readonly string[];
  /** Bytes of instances in memory at a time; 2 GiB where not given. */
  readonly mostBytes?: number;
  /** A series is complete when nothing of it has come for so long, ms; 30 s where not given. */
  readonly quietMs?: number;
  /** Associations at a time; 16 where not given. */
  readonly mostAssociations?: number;
}

/** How long an association may be silent, and a connection may last without one. */
const SILENCE_MS = 300_000;
const GREETING_MS = 30_000;
/** How long associations may go on after `close`. */
const FAREWELL_MS = 2000;

export class StorageListener {
  readonly counts: Counts = { associations: 0, refused: 0, received: 0, dropped: 0, failed: 0 };
  private readonly held: HeldSeries;
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private closing = false;

  private constructor(private readonly options: ListenOptions) {
    this.held = new HeldSeries({
      mostBytes: options.mostBytes ?? 2 * 2 ** 30,
      quietMs: options.quietMs ?? 30_000,
    });
    this.server = createServer((socket) => this.welcome(socket));
  }

  /** @throws PacsError when the AE titles are none or the port cannot be listened to. */
  static async start(options: ListenOptions): Promise<StorageListener> {
    for (const title of [options.aet, ...(options.allowAets ?? [])]) checkTitle(title);
    // Its messages name UIDs and AE titles.
    dimse.log.disableAll(false);
    dimse.Implementation.setImplementationClassUid(IMPLEMENTATION_CLASS_UID);
    dimse.Implementation.setImplementationVersion(IMPLEMENTATION_VERSION);
    const listener = new StorageListener(options);
    await new Promise<void>((resolve, reject) => {
      listener.server.once('error', (error: NodeJS.ErrnoException) =>
        reject(
          new PacsError(
            `listen: port ${options.port} of ${options.host ?? '127.0.0.1'} must be free, got ${error.code ?? error.message}; ` +
              'choose another with --listen or --host',
            { cause: error },
          ),
        ),
      );
      listener.server.listen(options.port, options.host ?? '127.0.0.1', resolve);
    });
    return listener;
  }

  get port(): number {
    const address = this.server.address();
    return typeof address === 'object' && address !== null ? address.port : this.options.port;
  }

  /** Bytes of instances in memory. */
  get heldBytes(): number {
    return this.held.held;
  }

  /** Series as they become complete, until `close`. Asking for the next one frees the memory of the last. */
  series(): AsyncGenerator<ReceivedSeries> {
    return this.held.taken();
  }

  /** Takes nothing more; what has come becomes complete as it is, and `series` ends after it. */
  async close(): Promise<void> {
    if (this.closing) return;
    this.closing = true;
    const closed = new Promise((resolve) => this.server.close(resolve));
    await Promise.race([closed, sleep(FAREWELL_MS)]);
    for (const socket of this.sockets) socket.destroy();
    await closed;
    this.held.close();
  }

  private welcome(socket: Socket): void {
    const { aet, allowAets = null, mostAssociations = 16 } = this.options;
    this.sockets.add(socket);
    // Every chunk becomes part of a message or ends the connection.
    const association = new StorageAssociation(socket, {
      aet,
      allowAets,
      held: this.held,
      counts: this.counts,
      isFull: () => this.sockets.size > mostAssociations,
      isClosing: () => this.closing,
      silenceMs: SILENCE_MS,
      greetingMs: GREETING_MS,
    });
    socket.on('close', () => {
      this.sockets.delete(socket);
      this.held.ended(association);
    });
  }
}

/** AE titles: 1 to 16 characters without backslash and control characters (PS3.5 section 6.2, VR AE). */
function checkTitle(title: string): void {
  if (title.trim() !== title || !/^[\x20-\x5b\x5d-\x7e]{1,16}$/.test(title))
    throw new PacsError(
      `listen: an AE title has 1 to 16 ASCII characters and no backslash (PS3.5 section 6.2), got "${title}"`,
    );
}
