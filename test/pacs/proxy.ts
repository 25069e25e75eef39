/** What stands between a client and a PACS: a bad line (seeded, so that it always fails in the same way), or TLS. */
import { createServer, type IncomingMessage, request, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Stream } from '../../src/simulate/index.js';

export interface Proxy {
  readonly port: number;
  /** Requests that came, those let through whole, and in what way the others failed. */
  readonly count: { requests: number; whole: number; busy: number; dropped: number; cut: number };
  readonly stop: () => Promise<void>;
}

export interface ProxyOptions {
  /** Share of requests that fail: busy (503), dropped, or cut inside the answer. */
  readonly bad?: number;
  readonly seed?: number;
  /** Key and certificate in PEM. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

/** Forwards to `port` on this machine. */
export async function startProxy(port: number, { bad = 0, seed = 1, tls }: ProxyOptions): Promise<Proxy> {
  const random = new Stream(seed, 'proxy', 0);
  const count = { requests: 0, whole: 0, busy: 0, dropped: 0, cut: 0 };
  const handle: RequestListener = (incoming, outgoing) => {
    count.requests++;
    const fate = random.chance(bad) ? random.choice(['busy', 'dropped', 'cut'] as const) : 'whole';
    count[fate]++;
    if (fate === 'dropped') {
      incoming.socket.destroy();
      return;
    }
    if (fate === 'busy') {
      incoming.resume();
      outgoing.writeHead(503, { 'retry-after': '0' }).end('busy');
      return;
    }
    const { method, url, headers } = incoming;
    const forward = request(
      { host: '127.0.0.1', port, method, path: url, headers },
      (answer: IncomingMessage) => {
        outgoing.writeHead(answer.statusCode!, answer.headers);
        if (fate === 'whole') {
          answer.pipe(outgoing);
          return;
        }
        // Some of the answer, then the line breaks.
        answer.once('data', (chunk: Buffer) => {
          outgoing.write(chunk.subarray(0, Math.ceil(chunk.length / 2)), () => outgoing.destroy());
          answer.destroy();
        });
        answer.once('end', () => outgoing.destroy());
      },
    );
    forward.on('error', () => outgoing.destroy());
    incoming.pipe(forward);
  };
  const server: Server = tls === undefined ? createServer(handle) : createSecureServer(tls, handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    count,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
