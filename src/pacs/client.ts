/** A DICOMweb service: its address, and requests to it that are tried again when they fail for a moment. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { authorization } from './auth.js';
import { PacsError } from './error.js';
import { Connection, type HttpRequest } from './http.js';
import { boundaryOf, type Part, parts } from './multipart.js';
import { RETRIES, type RetryOptions, withRetries } from './retry.js';

export interface ClientOptions {
  /** Where credentials are looked for; see `authorization`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** PEM file of certificates that are trusted beside the usual ones. */
  readonly caFile?: string;
  /** Requests at a time; 4 where not given. */
  readonly connections?: number;
  /** Results of a search asked for at a time; 200 where not given. */
  readonly pageSize?: number;
  /** Silence after which a request is given up, ms; one minute where not given. */
  readonly silenceMs?: number;
  readonly retries?: Partial<RetryOptions>;
  readonly signal?: AbortSignal;
}

/** The DICOM JSON model (PS3.18 annex F), as far as searches need it. */
const dataSetSchema = z.record(
  z.string(),
  z.looseObject({ vr: z.string().optional(), Value: z.array(z.unknown()).optional() }),
);
export type JsonDataSet = z.infer<typeof dataSetSchema>;
const dataSetsSchema = z.array(dataSetSchema);

const JSON_BYTES = 64 * 2 ** 20;
const SCHEME = /^dicomweb\+(https?:)/i;

/** Whether a source of `precess ingest` is the address of a DICOMweb service. */
export const isDicomWebAddress = (source: string): boolean => SCHEME.test(source);

/**
 * The root of a DICOMweb service from "dicomweb+https://host/path" or "dicomweb+http://…".
 * @throws PacsError when it is no such address, or holds credentials, a query or a fragment.
 */
export function rootOf(address: string): URL {
  let url: URL;
  try {
    url = new URL(address.replace(SCHEME, '$1'));
  } catch (error) {
    throw new PacsError('DICOMweb address: it must be dicomweb+https://host/path; check how it is written', {
      cause: error,
    });
  }
  if (!isDicomWebAddress(address))
    throw new PacsError(
      `DICOMweb address: it must start with dicomweb+https:// or dicomweb+http://, got "${url.protocol}//"`,
    );
  if (url.username !== '' || url.password !== '')
    throw new PacsError(
      'DICOMweb address: it must hold no credentials, which others could read; set PRECESS_DICOMWEB_USER and ' +
        'PRECESS_DICOMWEB_PASSWORD instead',
    );
  if (url.search !== '' || url.hash !== '')
    throw new PacsError('DICOMweb address: it must have no query and no fragment; use --query');
  return url;
}

export class DicomWebClient {
  readonly root: URL;

  readonly pageSize: number;
  private readonly retries: RetryOptions;

  private constructor(
    address: string,
    private readonly connection: Connection,
    private readonly options: ClientOptions,
  ) {
    this.root = rootOf(address);
    this.pageSize = options.pageSize ?? 200;
    this.retries = { ...RETRIES, ...options.retries };
  }

  /** @throws PacsError when the address, the credentials or the certificate file cannot be used. */
  static async create(address: string, options: ClientOptions = {}): Promise<DicomWebClient> {
    const root = rootOf(address);
    const connection = new Connection(root.protocol === 'https:', {
      authorization: authorization(options.env ?? process.env),
      ca: options.caFile === undefined ? null : await readCa(options.caFile),
      connections: options.connections ?? 4,
      silenceMs: options.silenceMs ?? 60_000,
      ...(options.signal && { signal: options.signal }),
    });
    return new DicomWebClient(address, connection, options);
  }

  close(): void {
    this.connection.close();
  }

  /** Runs `work` again when it fails with a TransientError. */
  again<T>(work: (attempt: number) => Promise<T>): Promise<T> {
    return withRetries(work, this.retries, this.options.signal);
  }

  /**
   * The data sets of a search, none where nothing matches (204).
   * @throws PacsError when the server refuses, does not answer in the end, or answers no DICOM JSON.
   */
  search(path: string, query: URLSearchParams, what: string): Promise<JsonDataSet[]> {
    return this.again(async () =>
      this.dataSets(
        { method: 'GET', url: this.url(path, query), headers: { accept: 'application/dicom+json' }, what },
        (list) => dataSetsSchema.parse(list),
      ),
    );
  }

  /**
   * The parts of a multipart answer as they come; one try.
   * @throws TransientError when the connection breaks; PacsError when the server refuses or a limit is passed.
   */
  async *parts(path: string, accept: string, mostBytes: number, what: string): AsyncGenerator<Part> {
    const response = await this.connection.open({
      method: 'GET',
      url: this.url(path),
      headers: { accept },
      what,
    });
    try {
      if (response.statusCode === 204) return;
      const boundary = boundaryOf(response.headers['content-type']);
      yield* parts(this.connection.body(response, what), boundary, mostBytes);
    } finally {
      if (!response.complete) response.destroy();
    }
  }

  /** Posts `body` and returns the data set of the answer. A 409 answer is read as well: it says what failed. */
  post(path: string, contentType: string, body: readonly Uint8Array[], what: string): Promise<JsonDataSet> {
    const headers = { accept: 'application/dicom+json', 'content-type': contentType };
    return this.again(() =>
      this.dataSets({ method: 'POST', url: this.url(path), headers, body, what, also: [409] }, (one) =>
        dataSetSchema.parse(one),
      ),
    );
  }

  private async dataSets<T>(request: HttpRequest, parse: (json: unknown) => T): Promise<T> {
    const response = await this.connection.open(request);
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of this.connection.body(response, request.what)) {
      length += chunk.length;
      if (length > JSON_BYTES)
        throw new PacsError(
          `${request.what}: the answer has more than ${JSON_BYTES} bytes; narrow the query`,
        );
      chunks.push(chunk);
    }
    const text = Buffer.concat(chunks).toString('utf8');
    try {
      return parse(text.trim() === '' && request.method === 'GET' ? [] : JSON.parse(text));
    } catch (error) {
      throw new PacsError(
        `${request.what}: ${this.root.origin} must answer with DICOM JSON (PS3.18 annex F), got something else; ` +
          'check that the address is the root of a DICOMweb service',
        { cause: error },
      );
    }
  }

  private url(path: string, query?: URLSearchParams): URL {
    const url = new URL(this.root);
    url.pathname = `${url.pathname.replace(/\/+$/, '')}${path}`;
    if (query !== undefined) url.search = query.toString();
    return url;
  }
}

async function readCa(path: string): Promise<string> {
  let pem: string;
  try {
    pem = await readFile(path, 'utf8');
  } catch (error) {
    throw new PacsError(`certificates: ${path} must be a file that can be read; check the path`, {
      cause: error,
    });
  }
  if (!pem.includes('-----BEGIN CERTIFICATE-----'))
    throw new PacsError(`certificates: ${path} must hold certificates in PEM; convert it with openssl x509`);
  return pem;
}
