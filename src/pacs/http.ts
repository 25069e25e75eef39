/** HTTP to a DICOMweb server: one request, its errors in words, its body as a stream. */
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { rootCertificates } from 'node:tls';
import { PacsError, TransientError } from './error.js';
import { retryAfter } from './retry.js';

export interface ConnectionOptions {
  /** Value of the Authorization header; null for none. */
  readonly authorization: string | null;
  /** PEM certificates that are trusted beside the usual ones; null for none. */
  readonly ca: string | null;
  /** Connections at a time. */
  readonly connections: number;
  /** Silence on a connection after which it is given up, ms. */
  readonly silenceMs: number;
  readonly signal?: AbortSignal;
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: readonly Uint8Array[];
  /** Statuses whose answer is wanted beside 2xx. */
  readonly also?: readonly number[];
  /** What the request is for, in messages, which show nothing of the path: "search for series". */
  readonly what: string;
}

/** Sends requests to one server over kept connections. TLS certificates are always verified. */
export class Connection {
  private readonly agent: http.Agent;

  constructor(
    secure: boolean,
    private readonly options: ConnectionOptions,
  ) {
    const common = { keepAlive: true, maxSockets: options.connections };
    this.agent = secure
      ? new https.Agent({
          ...common,
          // Said outright, so that NODE_TLS_REJECT_UNAUTHORIZED cannot switch it off.
          rejectUnauthorized: true,
          minVersion: 'TLSv1.2',
          ...(options.ca !== null && { ca: [...rootCertificates, options.ca] }),
        })
      : new http.Agent(common);
  }

  close(): void {
    this.agent.destroy();
  }

  /**
   * The answer to a request, of status 2xx or one of `also`; its body must be read or destroyed.
   *
   * @throws TransientError when the connection fails, or the server answers 408, 429 or 5xx (except 501 and 505);
   * PacsError for every other answer and for a certificate that is not trusted.
   */
  async open(request: HttpRequest): Promise<IncomingMessage> {
    const { url, what } = request;
    const response = await this.send(request);
    const status = response.statusCode ?? 0;
    if ((status >= 200 && status < 300) || request.also?.includes(status) === true) return response;
    response.destroy();
    const answered = `${what}: ${url.origin} answered ${status}`;
    if (status === 408 || status === 429 || (status >= 500 && status !== 501 && status !== 505))
      throw new TransientError(answered, retryAfter(response.headers['retry-after'], Date.now()));
    throw new HttpError(`${answered}${adviceFor(status)}`, status);
  }

  private send(request: HttpRequest): Promise<IncomingMessage> {
    const { url, what, body } = request;
    const { authorization, silenceMs, signal } = this.options;
    return new Promise((resolve, reject) => {
      const outgoing = (url.protocol === 'https:' ? https : http).request(url, {
        method: request.method,
        agent: this.agent,
        timeout: silenceMs,
        ...(signal !== undefined && { signal }),
        headers: {
          'user-agent': 'precess',
          'accept-encoding': 'identity',
          ...request.headers,
          ...(authorization !== null && { authorization }),
          ...(body && { 'content-length': body.reduce((sum, part) => sum + part.length, 0) }),
        },
      });
      outgoing.on('response', resolve);
      outgoing.on('timeout', () => outgoing.destroy(new Error(`nothing came for ${silenceMs / 1000} s`)));
      outgoing.on('error', (error) =>
        reject(signal?.aborted === true ? abortReason(signal) : failure(what, url, error)),
      );
      for (const part of body ?? []) outgoing.write(part);
      outgoing.end();
    });
  }

  /** The body as it comes. @throws TransientError when the connection breaks. */
  async *body(response: IncomingMessage, what: string): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of response) yield chunk as Uint8Array;
    } catch (error) {
      if (this.options.signal?.aborted === true) throw abortReason(this.options.signal);
      throw new TransientError(`${what}: the connection broke inside the answer`, null, { cause: error });
    }
  }
}

/** The server refused a request in a way that trying again does not change. */
export class HttpError extends PacsError {
  override readonly name = 'HttpError';

  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

const abortReason = (signal: AbortSignal): Error =>
  signal.reason instanceof Error ? signal.reason : new Error('aborted');

function adviceFor(status: number): string {
  if (status === 401 || status === 403)
    return (
      ': the credentials are missing or may not do this; set PRECESS_DICOMWEB_TOKEN, or PRECESS_DICOMWEB_USER and ' +
      'PRECESS_DICOMWEB_PASSWORD'
    );
  if (status === 404)
    return ': there is nothing at this address; check that it is the root of a DICOMweb service';
  if (status >= 300 && status < 400) return ', a redirection, which is not followed; give the final address';
  if (status === 406) return ': it cannot send DICOM as it is stored';
  if (status === 413) return ': too much at once; narrow the query';
  return '';
}

/** Codes of OpenSSL's verification and Node's host name check. */
const CERTIFICATE = /CERT|SELF_SIGNED|ISSUER|SIGNATURE|CRL/;

function failure(what: string, url: URL, error: Error & { code?: string }): PacsError {
  const code = error.code ?? '';
  if (CERTIFICATE.test(code))
    return new PacsError(
      `${what}: the certificate of ${url.host} is not trusted (${code}); name the file of its certificate authority ` +
        'with --ca-file or NODE_EXTRA_CA_CERTS',
      { cause: error },
    );
  if (code === 'ENOTFOUND')
    return new PacsError(`${what}: there is no host ${url.hostname}; check the address`, { cause: error });
  if (code === 'EPROTO' || code.startsWith('ERR_SSL'))
    return new PacsError(
      `${what}: ${url.host} does not speak TLS as it should (${code}); check port and scheme`,
      {
        cause: error,
      },
    );
  return new TransientError(
    `${what}: no answer from ${url.host} (${code === '' ? error.message : code})`,
    null,
    {
      cause: error,
    },
  );
}
