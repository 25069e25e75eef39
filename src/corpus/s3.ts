/** A corpus in a bucket of an S3-compatible service (Amazon S3 API: GetObject, PutObject, ListObjectsV2, multipart upload). */
import { AwsClient } from 'aws4fetch';
import { CorpusError } from './error.js';
import type { ByteRange, CorpusStore, StoreWriter } from './store.js';

/** A part of a multipart upload has at least 5 MiB, except for the last. */
const PART = 8 * 1024 * 1024;
const RETRIES = 5;

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

/** Objects under s3://BUCKET/PREFIX. Reads of an object that was just written see it, as S3 promises since 2020. */
export class S3Store implements CorpusStore {
  private readonly client: AwsClient;
  private readonly bucketUrl: string;
  private readonly prefix: string;

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
    return `${this.bucketUrl}/${(this.prefix + key).split('/').map(encodeURIComponent).join('/')}${query}`;
  }

  /** One request; `expected` are statuses that the caller knows what to do with beside success. */
  private async ask(
    what: string,
    url: string,
    init: Parameters<AwsClient['fetch']>[1],
    expected: readonly number[] = [],
  ): Promise<Response> {
    let response: Response;
    try {
      response = await this.client.fetch(url, init);
    } catch (error) {
      throw new CorpusError(
        `${what}: ${this.root} must be reachable, got "${error instanceof Error ? error.message : String(error)}"; ` +
          'check AWS_ENDPOINT_URL and the network',
        { cause: error },
      );
    }
    if (response.ok || expected.includes(response.status)) return response;
    const code = /<Code>([^<]*)<\/Code>/.exec(await response.text())?.[1] ?? response.statusText;
    throw new CorpusError(
      `${what}: ${this.root} must allow it, got ${response.status} ${code}; check the bucket, the keys and their rights`,
    );
  }

  async read(key: string): Promise<Uint8Array | null> {
    const response = await this.ask('read corpus', this.url(key), {}, [404]);
    if (response.status !== 404) return new Uint8Array(await response.arrayBuffer());
    await response.body?.cancel();
    return null;
  }

  async readRange(key: string, range: ByteRange): Promise<Uint8Array | null> {
    const span =
      'offset' in range ? `${range.offset}-${range.offset + range.length - 1}` : `-${range.suffixLength}`;
    const headers = { range: `bytes=${span}` };
    const response = await this.ask('read corpus', this.url(key), { headers }, [404, 416]);
    if (response.status === 206) return new Uint8Array(await response.arrayBuffer());
    await response.body?.cancel();
    if (response.status === 404) return null;
    if (response.status === 416) return new Uint8Array(0);
    throw new CorpusError(
      `read corpus: the service of ${this.root} must answer ranges, but it sends whole objects`,
    );
  }

  async write(key: string, bytes: Uint8Array): Promise<void> {
    await (
      await this.ask('write corpus', this.url(key), { method: 'PUT', body: bodyOf(bytes) })
    ).arrayBuffer();
  }

  /** Whether the object was not there and is now: a conditional write, which S3 knows since 2024. */
  async writeNew(key: string, bytes: Uint8Array): Promise<boolean> {
    const headers = { 'if-none-match': '*' };
    const init = { method: 'PUT', body: bodyOf(bytes), headers };
    const response = await this.ask('write corpus', this.url(key), init, [409, 412]);
    await response.arrayBuffer();
    return response.ok;
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
      const response = await this.ask('write corpus', this.url(key, query), init);
      await response.arrayBuffer();
      etags.push(response.headers.get('etag') ?? '');
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
        if (upload === null) return;
        const url = this.url(key, `?uploadId=${encodeURIComponent(upload)}`);
        await (await this.ask('write corpus', url, { method: 'DELETE' }, [404])).arrayBuffer();
      },
    });
  }

  private async begin(key: string): Promise<string> {
    const response = await this.ask('write corpus', this.url(key, '?uploads='), { method: 'POST' });
    const id = /<UploadId>([^<]*)<\/UploadId>/.exec(await response.text())?.[1];
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
    const text = await (await this.ask('write corpus', url, { method: 'POST', body })).text();
    // The answer may be an error under the status of success.
    if (text.includes('<Error>'))
      throw new CorpusError(
        `write corpus: ${this.root} must take what was uploaded, got ${text.slice(0, 200)}`,
      );
  }

  async names(folder: string): Promise<string[]> {
    const start = `${this.prefix}${folder}/`;
    const { keys, folders } = await this.list(start, true);
    return [...keys, ...folders.map((one) => one.slice(0, -1))].map((key) => key.slice(start.length)).sort();
  }

  async remove(key: string): Promise<void> {
    const { keys } = await this.list(`${this.prefix}${key}`, false);
    const own = `${this.prefix}${key}`;
    for (const one of keys) {
      if (one !== own && !one.startsWith(`${own}/`)) continue;
      const url = `${this.bucketUrl}/${one.split('/').map(encodeURIComponent).join('/')}`;
      await (await this.ask('write corpus', url, { method: 'DELETE' }, [404])).arrayBuffer();
    }
  }

  private async list(prefix: string, shallow: boolean): Promise<{ keys: string[]; folders: string[] }> {
    const keys: string[] = [];
    const folders: string[] = [];
    for (let token: string | null = null; ;) {
      const query = new URLSearchParams({ 'list-type': '2', prefix });
      if (shallow) query.set('delimiter', '/');
      if (token !== null) query.set('continuation-token', token);
      const text = await (await this.ask('list corpus', `${this.bucketUrl}?${query.toString()}`, {})).text();
      for (const [, key] of text.matchAll(/<Contents>.*?<Key>([^<]*)<\/Key>/gs)) keys.push(unescapeXml(key!));
      for (const [, name] of text.matchAll(/<CommonPrefixes>.*?<Prefix>([^<]*)<\/Prefix>/gs))
        folders.push(unescapeXml(name!));
      const next = /<NextContinuationToken>([^<]*)</.exec(text)?.[1];
      if (!/<IsTruncated>true</.test(text) || next === undefined) return { keys, folders };
      token = unescapeXml(next);
    }
  }
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
