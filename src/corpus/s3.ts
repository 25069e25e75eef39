/** A corpus in a bucket of an S3-compatible service (Amazon S3 API: GetObject, PutObject, ListObjectsV2, multipart upload). */
import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { AwsClient } from 'aws4fetch';
import { CorpusError, ServiceError } from './error.js';
import type { ByteRange, CorpusStore, StoreWriter } from './store.js';

/** A part of a multipart upload has at least 5 MiB, except for the last. */
const PART = 8 * 1024 * 1024;
/** An answer of 5xx or 429, or none, is worth another try, after 50 ms, 100 ms, …. */
const RETRIES = 5;
const RETRY_MS = 50;
const SOON_MS = 5000;
/** A part of 8 MiB takes so long at half a megabit a second. */
const PATIENCE_MS = 120_000;
/** Requests of one thread at a time. */
const MOST_UNDER_WAY = 32;
/** Objects that are removed at a time. */
const AT_ONCE = 16;

export interface S3Settings {
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string | null;
}

/**
 * Where the service is and who asks, from the variables that the AWS tools read: AWS_ENDPOINT_URL_S3 or
 * AWS_ENDPOINT_URL, AWS_REGION or AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN.
 *
 * @throws CorpusError when a key is missing.
 */
export function s3Settings(env: NodeJS.ProcessEnv = process.env): S3Settings {
  const region = env.AWS_REGION ?? env.AWS_DEFAULT_REGION ?? 'us-east-1';
  const endpoint = env.AWS_ENDPOINT_URL_S3 ?? env.AWS_ENDPOINT_URL ?? `https://s3.${region}.amazonaws.com`;
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = env;
  if (accessKeyId === undefined || secretAccessKey === undefined)
    throw new CorpusError(
      'open corpus: an s3:// corpus needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, and ' +
        'AWS_ENDPOINT_URL for a service other than Amazon S3; set them',
    );
  const sessionToken = env.AWS_SESSION_TOKEN ?? null;
  return { endpoint: endpoint.replace(/\/+$/, ''), region, accessKeyId, secretAccessKey, sessionToken };
}

/** The same settings by LanceDB's names (object_store's AmazonS3ConfigKey). */
export function lanceStorageOptions(): Record<string, string> {
  const { endpoint, region, accessKeyId, secretAccessKey, sessionToken } = s3Settings();
  return {
    aws_endpoint: endpoint,
    aws_region: region,
    aws_access_key_id: accessKeyId,
    aws_secret_access_key: secretAccessKey,
    ...(sessionToken !== null && { aws_session_token: sessionToken }),
    ...(endpoint.startsWith('http://') && { allow_http: 'true' }),
  };
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
}

const textOf = ({ bytes }: Answer): string => Buffer.from(bytes).toString('utf8');
const codeOf = (answer: Answer): string => /<Code>([^<]*)<\/Code>/.exec(textOf(answer))?.[1] ?? '';

/** An object and what tells it from every other writing of it. */
export interface VersionedObject {
  readonly bytes: Uint8Array;
  readonly version: string;
  /** Since it was written, by the clock of the service alone. */
  readonly ageMs: number;
}

/** Objects under s3://BUCKET/PREFIX. Reads of an object that was just written see it, as S3 promises since 2020. */
export class S3Store implements CorpusStore {
  private readonly client: AwsClient;
  private readonly bucketUrl: string;
  private readonly prefix: string;
  private underWay = 0;
  private failedAt = -Infinity;
  private readonly waiting: (() => void)[] = [];

  constructor(
    readonly root: string,
    settings: S3Settings = s3Settings(),
  ) {
    const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(root);
    if (match === null)
      throw new CorpusError(`open corpus: an S3 corpus is named s3://BUCKET/PREFIX, got "${root}"`);
    // Path style, which every service knows.
    this.bucketUrl = `${settings.endpoint}/${match[1]!}`;
    this.prefix = match[2] === undefined || match[2] === '' ? '' : `${match[2]}/`;
    const { accessKeyId, secretAccessKey, sessionToken, region } = settings;
    this.client = new AwsClient({
      accessKeyId,
      secretAccessKey,
      ...(sessionToken !== null && { sessionToken }),
      region,
      service: 's3',
      retries: RETRIES,
    });
  }

  private url(key: string, query = ''): string {
    return `${this.urlOf(this.prefix + key)}${query}`;
  }

  private urlOf(object: string): string {
    return `${this.bucketUrl}/${object.split('/').map(encodeURIComponent).join('/')}`;
  }

  /**
   * One request, sent again where no answer came; `expected` are statuses that the caller knows what to do with beside
   * success. Errors name the place and the service's reason, never a key.
   */
  private async ask(
    what: string,
    url: string,
    init: Parameters<AwsClient['fetch']>[1],
    expected: readonly number[] = [],
  ): Promise<Answer> {
    const answer = await this.answer(what, url, init);
    const { status } = answer;
    const code = status >= 300 ? codeOf(answer) : '';
    if (code === 'NoSuchBucket')
      throw new ServiceError(
        `${what}: ${this.root} must be in a bucket that exists, but the service has none of this name; make it, or ` +
          'check AWS_ENDPOINT_URL and AWS_REGION',
      );
    if ((status >= 200 && status < 300) || expected.includes(status)) return answer;
    const refused = status === 401 || status === 403;
    throw new ServiceError(
      `${what}: ${this.root} must allow it, got ${status}${code === '' ? '' : ` ${code}`}; check the bucket, ` +
        'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they may do',
      refused ? { cause: Object.assign(new Error(`${status} ${code}`), { code: 'EACCES' }) } : {},
    );
  }

  private async answer(what: string, url: string, init: Parameters<AwsClient['fetch']>[1]): Promise<Answer> {
    for (let attempt = 0; ; attempt++) {
      await this.turn();
      try {
        const signal = AbortSignal.timeout(PATIENCE_MS);
        const response = await this.client.fetch(url, { ...init, signal });
        const { status, headers } = response;
        return { status, headers, bytes: new Uint8Array(await response.arrayBuffer()) };
      } catch (error) {
        // What comes right after a failure is not worth as much patience again.
        if (attempt === RETRIES || Date.now() - this.failedAt < SOON_MS) {
          this.failedAt = Date.now();
          throw new ServiceError(
            `${what}: ${this.root} must be reachable, got "${reasonOf(error)}"; check AWS_ENDPOINT_URL and the network`,
            { cause: error },
          );
        }
      } finally {
        this.underWay--;
        this.waiting.shift()?.();
      }
      await wait(RETRY_MS * 2 ** attempt);
    }
  }

  /** Waits until there are few enough requests: the chunks of a large image are asked for all at once. */
  private async turn(): Promise<void> {
    if (this.underWay >= MOST_UNDER_WAY) await new Promise<void>((resolve) => this.waiting.push(resolve));
    this.underWay++;
  }

  async read(key: string): Promise<Uint8Array | null> {
    const answer = await this.ask('read corpus', this.url(key), {}, [404]);
    return answer.status === 404 ? null : answer.bytes;
  }

  async readRange(key: string, range: ByteRange): Promise<Uint8Array | null> {
    if ('offset' in range ? range.length <= 0 : range.suffixLength <= 0) return new Uint8Array(0);
    const span =
      'offset' in range ? `${range.offset}-${range.offset + range.length - 1}` : `-${range.suffixLength}`;
    const headers = { range: `bytes=${span}` };
    const { status, bytes } = await this.ask('read corpus', this.url(key), { headers }, [404, 416]);
    if (status === 206) return bytes;
    if (status === 404) return null;
    if (status === 416) return new Uint8Array(0);
    throw new CorpusError(
      `read corpus: the service of ${this.root} must answer ranges, but it sends whole objects`,
    );
  }

  /** The object with its version; null where there is none. */
  async readVersioned(key: string): Promise<VersionedObject | null> {
    const { status, bytes, headers } = await this.ask('read corpus', this.url(key), {}, [404]);
    if (status === 404) return null;
    const time = (name: string): number => Date.parse(headers.get(name) ?? '');
    const ageMs = time('date') - time('last-modified');
    return { bytes, version: headers.get('etag') ?? '', ageMs: Number.isNaN(ageMs) ? 0 : ageMs };
  }

  async write(key: string, bytes: Uint8Array): Promise<void> {
    await this.ask('write corpus', this.url(key), { method: 'PUT', body: bodyOf(bytes) });
  }

  /**
   * Writes an object only where it is still of `version`, or, with null, not there: S3's conditional writes, of 2024.
   * Returns its version, null where another was faster. No two writings may be of the same bytes.
   */
  async replace(key: string, bytes: Uint8Array, version: string | null): Promise<string | null> {
    const headers = version === null ? { 'if-none-match': '*' } : { 'if-match': version };
    const init = { method: 'PUT', body: bodyOf(bytes), headers };
    const answer = await this.ask('write corpus', this.url(key), init, [404, 409, 412]);
    if (answer.status < 300) return answer.headers.get('etag') ?? '';
    // The answer to a first try may be lost, and the second be refused because of the first.
    const there = await this.readVersioned(key);
    return there !== null && Buffer.compare(there.bytes, bytes) === 0 ? there.version : null;
  }

  /** @throws CorpusError where the service takes conditional writes for unconditional ones: nothing could be locked. */
  async prepare(): Promise<void> {
    const key = `.try-${randomUUID()}`;
    const first = await this.replace(key, Buffer.from('a'), null);
    const again = await this.replace(key, Buffer.from('b'), null);
    const next = first === null ? null : await this.replace(key, Buffer.from('c'), first);
    const late = first === null ? null : await this.replace(key, Buffer.from('d'), first);
    await this.remove(key);
    if (first === null || again !== null || next === null || late !== null)
      throw new CorpusError(
        `create corpus: the service of ${this.root} must know conditional writes (If-None-Match and If-Match), but it ` +
          'does not; use one that does',
      );
  }

  requireWritable(): Promise<void> {
    return Promise.resolve();
  }

  async append(key: string, at: number, bytes: Uint8Array): Promise<void> {
    const before = at > 0 ? await this.readVersioned(key) : null;
    const whole = Buffer.concat([before?.bytes.subarray(0, at) ?? new Uint8Array(0), bytes]);
    // Written whole: half of it is never there.
    if (at === 0) await this.write(key, whole);
    else if (before === null || (await this.replace(key, whole, before.version)) === null)
      throw new CorpusError(`write corpus: another command changed ${key} of ${this.root}; run it again`);
  }

  writer(key: string): Promise<StoreWriter> {
    let upload: string | null = null;
    const etags: string[] = [];
    let held: Uint8Array[] = [];
    let length = 0;
    const put = async (): Promise<void> => {
      upload ??= await this.begin(key);
      const query = `?partNumber=${etags.length + 1}&uploadId=${encodeURIComponent(upload)}`;
      const init = { method: 'PUT', body: bodyOf(Buffer.concat(held)) };
      const { headers } = await this.ask('write corpus', this.url(key, query), init);
      etags.push(headers.get('etag') ?? '');
      [held, length] = [[], 0];
    };
    return Promise.resolve({
      write: async (bytes) => {
        held.push(bytes.slice());
        length += bytes.length;
        if (length >= PART) await put();
      },
      close: async () => {
        if (upload === null) return this.write(key, Buffer.concat(held));
        if (length > 0) await put();
        await this.complete(key, upload, etags);
      },
      abort: async () => {
        if (upload !== null) await this.giveUp(this.url(key), upload);
      },
    });
  }

  private async giveUp(url: string, upload: string): Promise<void> {
    const query = `?uploadId=${encodeURIComponent(upload)}`;
    await this.ask('write corpus', `${url}${query}`, { method: 'DELETE' }, [404]);
  }

  private async begin(key: string): Promise<string> {
    const answer = await this.ask('write corpus', this.url(key, '?uploads='), { method: 'POST' });
    const id = /<UploadId>([^<]*)<\/UploadId>/.exec(textOf(answer))?.[1];
    if (id === undefined)
      throw new CorpusError(`write corpus: the service of ${this.root} gave no upload a name`);
    return unescapeXml(id);
  }

  private async complete(key: string, upload: string, etags: readonly string[]): Promise<void> {
    const parts = etags.map(
      (etag, n) => `<Part><PartNumber>${n + 1}</PartNumber><ETag>${escapeXml(etag)}</ETag></Part>`,
    );
    const body = `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`;
    const url = this.url(key, `?uploadId=${encodeURIComponent(upload)}`);
    const answer = await this.ask('write corpus', url, { method: 'POST', body });
    // The answer may be an error under the status of success.
    const code = codeOf(answer);
    if (code !== '')
      throw new CorpusError(`write corpus: ${this.root} must take what was uploaded, got ${code}`);
  }

  async names(folder: string): Promise<string[]> {
    const start = folder === '' ? this.prefix : `${this.prefix}${folder}/`;
    const { keys, folders } = await this.list(start, true);
    return [...keys, ...folders.map((one) => one.slice(0, -1))].map((key) => key.slice(start.length)).sort();
  }

  async remove(key: string): Promise<void> {
    const own = `${this.prefix}${key}`;
    const { keys } = await this.list(own, false);
    const gone = keys.filter((one) => one === own || one.startsWith(`${own}/`));
    for (let at = 0; at < gone.length; at += AT_ONCE)
      await Promise.all(
        gone
          .slice(at, at + AT_ONCE)
          .map((one) => this.ask('write corpus', this.urlOf(one), { method: 'DELETE' }, [404])),
      );
  }

  /** Gives up the uploads that were never completed: what they hold is in no list of objects. */
  async sweep(folder: string): Promise<void> {
    const prefix = `${this.prefix}${folder}/`;
    const query = new URLSearchParams({ uploads: '', prefix });
    for (;;) {
      const text = textOf(await this.ask('list corpus', `${this.bucketUrl}?${query.toString()}`, {}));
      const uploads = [
        ...text.matchAll(/<Upload>.*?<Key>([^<]*)<\/Key>.*?<UploadId>([^<]*)<\/UploadId>/gs),
      ].map(([, key, id]) => [unescapeXml(key!), unescapeXml(id!)] as const);
      for (const [key, id] of uploads) if (key.startsWith(prefix)) await this.giveUp(this.urlOf(key), id);
      if (uploads.length === 0 || !/<IsTruncated>true</.test(text)) return;
    }
  }

  private async list(prefix: string, shallow: boolean): Promise<{ keys: string[]; folders: string[] }> {
    const keys: string[] = [];
    const folders: string[] = [];
    for (let token: string | null = null; ;) {
      const query = new URLSearchParams({ 'list-type': '2', prefix });
      if (shallow) query.set('delimiter', '/');
      if (token !== null) query.set('continuation-token', token);
      const text = textOf(await this.ask('list corpus', `${this.bucketUrl}?${query.toString()}`, {}));
      for (const [, key] of text.matchAll(/<Contents>.*?<Key>([^<]*)<\/Key>/gs)) keys.push(unescapeXml(key!));
      for (const [, name] of text.matchAll(/<CommonPrefixes>.*?<Prefix>([^<]*)<\/Prefix>/gs))
        folders.push(unescapeXml(name!));
      const next = /<NextContinuationToken>([^<]*)</.exec(text)?.[1];
      if (!/<IsTruncated>true</.test(text) || next === undefined) return { keys, folders };
      token = unescapeXml(next);
    }
  }
}

/** fetch says no more than that it failed; its cause says why. */
function reasonOf(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  const { message } = (cause instanceof Error && cause.message !== '' ? cause : error) as Error;
  return message !== '' ? message : ((cause as NodeJS.ErrnoException | undefined)?.code ?? 'no answer');
}

/** fetch takes no view of shared memory; ours never is. */
const bodyOf = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => bytes as Uint8Array<ArrayBuffer>;

const escapeXml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

function unescapeXml(text: string): string {
  const NAMED: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
  return text.replace(
    /&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi,
    (whole, hex?: string, decimal?: string, name?: string) => {
      if (hex !== undefined) return String.fromCodePoint(parseInt(hex, 16));
      if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
      return NAMED[name ?? ''] ?? whole;
    },
  );
}
