/** A page of live curves for the person who trains: reads run folders, changes nothing, answers this machine only. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, resolve } from 'node:path';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { secureHeaders } from 'hono/secure-headers';
import { readRun } from '../train/history.js';
import { RUNS_CSS, RUNS_HTML, RUNS_JS } from './runs-page.js';

export class ServerError extends Error {
  override readonly name = 'ServerError';
}

const HOST = '127.0.0.1';
const require = createRequire(import.meta.url);

/** Names for run folders: the last part of the path, with a number where that is not enough. */
export function namesOf(folders: readonly string[]): string[] {
  const used = new Map<string, number>();
  return folders.map((folder) => {
    const name = basename(resolve(folder));
    const count = (used.get(name) ?? 0) + 1;
    used.set(name, count);
    return count === 1 ? name : `${name} (${count})`;
  });
}

/** The last step that the page has of each run. Anything that is not a table of numbers means none. */
function stepsKnown(text: string | undefined): Record<string, number> {
  try {
    const parsed: unknown = JSON.parse(text ?? '{}');
    if (typeof parsed !== 'object' || parsed === null) return {};
    return Object.fromEntries(
      Object.entries(parsed).filter((one): one is [string, number] => typeof one[1] === 'number'),
    );
  } catch {
    return {};
  }
}

/**
 * The routes: the page, and `GET /runs.json?after={"name":step}` with what has been logged since. Names of other hosts
 * are refused, so that no page elsewhere can reach this one by a name that resolves to this machine.
 */
export function runsApp(folders: readonly string[]): Hono {
  const app = new Hono();
  const names = namesOf(folders);
  app.use(
    secureHeaders({
      contentSecurityPolicy: {
        defaultSrc: ["'self'"],
        // uPlot places its legend and cursor by inline styles.
        styleSrc: ["'self'", "'unsafe-inline'"],
        frameAncestors: ["'none'"],
      },
    }),
  );
  app.use(async (c, next) => {
    const host = new URL(c.req.url).hostname;
    if (host !== HOST && host !== 'localhost') return c.text('runs: open this page as 127.0.0.1', 403);
    await next();
    return;
  });
  app.get('/', (c) => c.html(RUNS_HTML));
  const text = (path: string, type: string, body: () => string | Promise<string>): void => {
    app.get(path, async (c) => c.body(await body(), 200, { 'content-type': `${type}; charset=utf-8` }));
  };
  const uplot = (file: string) => () => readFile(require.resolve(`uplot/dist/${file}`), 'utf8');
  text('/page.css', 'text/css', () => RUNS_CSS);
  text('/page.js', 'text/javascript', () => RUNS_JS);
  text('/uplot.js', 'text/javascript', uplot('uPlot.iife.min.js'));
  text('/uplot.css', 'text/css', uplot('uPlot.min.css'));
  app.get('/runs.json', async (c) => {
    const known = stepsKnown(c.req.query('after'));
    const runs = await Promise.all(
      folders.map(async (folder, n) => {
        const { settings, steps, failure } = await readRun(folder);
        const name = names[n]!;
        // A run that was taken back to an earlier checkpoint is told again from there.
        const from = Math.min(known[name] ?? 0, steps.at(-1)?.step ?? 0);
        return { name, settings, failure, from, steps: steps.filter(({ step }) => step > from) };
      }),
    );
    return c.json({ runs });
  });
  return app;
}

export interface RunsServer {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves the page on 127.0.0.1. @throws TrainError for a folder without a run, ServerError when the port is taken. */
export async function serveRuns(folders: readonly string[], port: number): Promise<RunsServer> {
  await Promise.all(folders.map(readRun));
  const app = runsApp(folders);
  return new Promise((started, failed) => {
    const server = serve({ fetch: app.fetch, hostname: HOST, port }, (info) =>
      started({
        url: `http://${HOST}:${info.port}/`,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed());
            if ('closeAllConnections' in server) server.closeAllConnections();
          }),
      }),
    );
    server.on('error', (error: NodeJS.ErrnoException) =>
      failed(
        error.code === 'EADDRINUSE'
          ? new ServerError(`runs: port ${port} of ${HOST} must be free, but is taken; give another --port`)
          : error,
      ),
    );
  });
}
