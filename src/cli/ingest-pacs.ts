/** The parts of `precess ingest` that take series from a network: a DICOMweb service, or a storage listener. */
import type { Command } from 'commander';
import type { Ingested, IngestOptions } from '../corpus/index.js';
import { log, UsageError, wholeNumber } from './shared.js';

export interface PacsFlags {
  readonly query?: string;
  readonly caFile?: string;
  readonly concurrency?: number;
  readonly mostGib?: number;
  readonly listen?: number;
  readonly host?: string;
  readonly aet?: string;
  readonly allowAet?: string[];
  readonly quietSeconds?: number;
}

export function withPacs(command: Command): Command {
  return command
    .option(
      '--query <query>',
      'of a DICOMweb service: attributes to match, such as "Modality=MR&StudyDate=20200101-20201231" (default: all MR)',
    )
    .option('--ca-file <file>', 'of a DICOMweb service: PEM certificates to trust beside the usual ones')
    .option(
      '--concurrency <n>',
      'of a DICOMweb service: series to fetch at a time (default: 2)',
      wholeNumber('--concurrency', 1, 32),
    )
    .option(
      '--most-gib <n>',
      'memory for files from the network, GiB: of one series of a DICOMweb service (default: 4), or of all that a ' +
        'listener holds (default: 2)',
      wholeNumber('--most-gib', 1, 1024),
    )
    .option(
      '--listen <port>',
      'take series that are pushed to this port (DIMSE C-STORE), until Ctrl-C',
      wholeNumber('--listen', 0, 65535),
    )
    .option('--host <address>', 'of the listener: the address to listen on (default: 127.0.0.1)')
    .option('--aet <title>', 'of the listener: its AE title (default: PRECESS)')
    .option('--allow-aet <titles...>', 'of the listener: AE titles that may push (default: all)')
    .option(
      '--quiet-seconds <n>',
      'of the listener: a series is complete when nothing of it came for so long (default: 30)',
      wholeNumber('--quiet-seconds', 1, 86400),
    );
}

const FETCH_FLAGS = ['query', 'caFile', 'concurrency'] as const;
const LISTEN_FLAGS = ['host', 'aet', 'allowAet', 'quietSeconds'] as const;

/**
 * Takes in from the network what sources and flags name; null where they name files and folders.
 * @throws UsageError when they contradict; PacsError and CorpusError as the work does.
 */
export async function ingestFromPacs(
  sources: readonly string[],
  flags: PacsFlags,
  options: IngestOptions,
): Promise<Ingested | null> {
  const remote = sources.filter((source) => /^dicomweb\+/i.test(source));
  const given = (names: readonly (keyof PacsFlags)[]): string | undefined =>
    names.find((name) => flags[name] !== undefined);
  const dashed = (name: string): string =>
    `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  const misplaced = (name: string | undefined, belongs: string): void => {
    if (name !== undefined) throw new UsageError(`${dashed(name)} belongs to ${belongs}`);
  };
  if (flags.listen !== undefined) {
    if (sources.length > 0)
      throw new UsageError('--listen takes series that are pushed; name no sources with it');
    misplaced(given(FETCH_FLAGS), 'a source dicomweb+https://…');
    return listenInto(flags.listen, flags, options);
  }
  misplaced(given(LISTEN_FLAGS), '--listen');
  if (sources.length === 0) throw new UsageError('name a source, or --listen PORT');
  if (remote.length > 0) {
    if (sources.length > 1) throw new UsageError('one DICOMweb service at a time, without other sources');
    return fetchInto(remote[0]!, flags, options);
  }
  misplaced(given([...FETCH_FLAGS, 'mostGib']), 'a source dicomweb+https://… or --listen');
  return null;
}

const GIB = 2 ** 30;

async function fetchInto(address: string, flags: PacsFlags, options: IngestOptions): Promise<Ingested> {
  const { DicomWebClient, fetchSeries, PacsError, parseQuery, rootOf } = await import('../pacs/index.js');
  const { ingestReceived } = await import('../corpus/index.js');
  const { signal, onProgress } = options;
  const concurrency = flags.concurrency ?? 2;
  const [root, query] = ((): [URL, ReturnType<typeof parseQuery>] => {
    try {
      return [rootOf(address), parseQuery(flags.query ?? '')];
    } catch (error) {
      throw error instanceof PacsError ? new UsageError(error.message) : error;
    }
  })();
  const client = await DicomWebClient.create(address, {
    connections: concurrency + 2,
    ...(flags.caFile !== undefined && { caFile: flags.caFile }),
    ...(signal && { signal }),
  });
  const sent = (process.env.PRECESS_DICOMWEB_TOKEN ?? process.env.PRECESS_DICOMWEB_USER ?? '') !== '';
  if (root.protocol === 'http:' && sent && !/^(localhost|127\.|\[::1\])/.test(root.hostname))
    log('warning: credentials and images travel unencrypted; use dicomweb+https:// where the service has it');
  try {
    return await ingestReceived(
      (receiving) =>
        fetchSeries(client, {
          query,
          concurrency,
          mostBytes: (flags.mostGib ?? 4) * GIB,
          reports: options.text !== 'header',
          ...receiving,
          ...(signal && { signal }),
        }),
      {
        ...options,
        onProgress: silent,
        source: `${root.host}${root.pathname.replace(/\/+$/, '')}`,
        onSeries: (done) => onProgress?.({ phase: 'store', done, total: done }),
      },
    );
  } finally {
    client.close();
  }
}

async function listenInto(port: number, flags: PacsFlags, options: IngestOptions): Promise<Ingested> {
  const { PacsError, StorageListener } = await import('../pacs/index.js');
  const { ingestReceived } = await import('../corpus/index.js');
  const { signal } = options;
  const aet = flags.aet ?? 'PRECESS';
  return ingestReceived(
    async function* () {
      // Only when the corpus is open for writing, so that nothing is accepted that cannot be stored.
      const listener = await StorageListener.start({
        port,
        aet,
        ...(flags.host !== undefined && { host: flags.host }),
        ...(flags.allowAet && { allowAets: flags.allowAet }),
        ...(flags.mostGib !== undefined && { mostBytes: flags.mostGib * GIB }),
        ...(flags.quietSeconds !== undefined && { quietMs: flags.quietSeconds * 1000 }),
      }).catch((error: unknown) => {
        throw error instanceof PacsError ? new UsageError(error.message) : error;
      });
      const stop = (): void => void listener.close();
      signal?.addEventListener('abort', stop);
      if (signal?.aborted === true) stop();
      log(`listening on ${flags.host ?? '127.0.0.1'} port ${listener.port} as ${aet}; Ctrl-C ends it`);
      try {
        yield* listener.series();
      } finally {
        signal?.removeEventListener('abort', stop);
        await listener.close();
      }
      const { associations, refused, received, dropped, failed } = listener.counts;
      log(
        `${associations} associations (${refused} more refused); instances: ${received} received, ${dropped} dropped ` +
          `as no MR image, ${failed} refused`,
      );
    },
    {
      ...options,
      // What was received before Ctrl-C is stored: the signal ends the listener and not the storing.
      signal: new AbortController().signal,
      onProgress: silent,
      source: aet,
      atOnce: true,
      onSeries: (done) => log(`series stored: ${done}`),
    },
  );
}

/** Batches of one series each would fill a bar of their own. */
const silent = (): void => undefined;
