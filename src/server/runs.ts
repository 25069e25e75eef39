/** A page of live curves for the person who trains: reads run folders, changes nothing, answers this machine only. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, resolve } from 'node:path';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { secureHeaders } from 'hono/secure-headers';
import { encode } from 'fast-png';
import type { Corpus } from '../corpus/corpus.js';
import { allowed } from '../corpus/rights.js';
import { readRun } from '../train/history.js';
import { readMaps, type SeriesMap, type StepMaps } from '../train/maps.js';
import { drawSlice, frameOf, PLANE_AXES } from '../volume/slice.js';
import { Prepared } from '../volume/tokens.js';
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

/** What a picture shows: its middle across and down, RAS+ mm, and its side. */
export interface Frame {
  readonly acrossMm: number;
  readonly downMm: number;
  readonly sideMm: number;
}

/** Draws the slices under the maps; null for what the corpus does not have, or does not permit to be looked at. */
export interface MapPictures {
  frame(map: SeriesMap): Promise<Frame | null>;
  png(map: SeriesMap): Promise<Uint8Array | null>;
}

/** Pixels along the side of a slice. */
const PIXELS = 224;

/**
 * Pictures from a corpus, drawn when they are asked for: run folders hold no voxels, and a series that was withdrawn is
 * not shown. Its rights must permit "evaluate", what a person at this machine does who looks at it.
 */
export function corpusPictures(corpus: Pick<Corpus, 'list' | 'volume'>): MapPictures {
  const held = new Map<string, Prepared>();
  const preparedOf = async ({ id }: SeriesMap): Promise<Prepared | null> => {
    const where = `id = '${id.replaceAll("'", "''")}'`;
    const found = (await corpus.list({ where })).filter((one) => one.id === id);
    if (allowed(found, 'evaluate').permitted.length === 0) {
      held.delete(id);
      return null;
    }
    const prepared = held.get(id) ?? new Prepared(await corpus.volume(id));
    held.set(id, prepared);
    return prepared;
  };
  return {
    async frame(map) {
      const prepared = await preparedOf(map);
      if (!prepared) return null;
      const { centreMm, sideMm } = frameOf(prepared, map.plane);
      const { across, down } = PLANE_AXES[map.plane];
      return { acrossMm: centreMm[across], downMm: centreMm[down], sideMm };
    },
    async png(map) {
      const prepared = await preparedOf(map);
      if (!prepared) return null;
      const { width, height, data } = drawSlice(prepared, map.plane, PIXELS, map.atMm);
      return encode({ width, height, data, channels: 1, depth: 8 });
    },
  };
}

/**
 * The routes: the page, and `GET /runs.json?after={"name":step}` with what has been logged since, `GET /maps.json?run=NAME` with
 * the maps of a run, and `GET /slice.png?run=NAME&series=ID` with the slice under one. Names of other hosts
 * are refused, so that no page elsewhere can reach this one by a name that resolves to this machine.
 */
export function runsApp(folders: readonly string[], pictures: MapPictures | null = null): Hono {
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
  const mapsOf = async (name: string | undefined): Promise<StepMaps[]> => {
    const folder = folders[names.indexOf(name ?? '')];
    return folder === undefined ? [] : readMaps(folder);
  };
  app.get('/maps.json', async (c) => {
    const steps = await mapsOf(c.req.query('run'));
    const frames: Record<string, Frame> = {};
    for (const map of steps.at(-1)?.series ?? []) {
      const frame = await pictures?.frame(map);
      if (frame) frames[map.id] = frame;
    }
    return c.json({ steps, frames });
  });
  app.get('/slice.png', async (c) => {
    // A picture is drawn only where a map of one of these runs lies over it.
    const steps = await mapsOf(c.req.query('run'));
    const map = steps.at(-1)?.series.find(({ id }) => id === c.req.query('series'));
    const png = map && (await pictures?.png(map));
    if (!png) return c.text('runs: there is no such picture', 404);
    return c.body(Buffer.from(png), 200, { 'content-type': 'image/png', 'cache-control': 'no-store' });
  });
  return app;
}

export interface RunsServer {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves the page on 127.0.0.1. @throws TrainError for a folder without a run, ServerError when the port is taken. */
export async function serveRuns(
  folders: readonly string[],
  port: number,
  pictures: MapPictures | null = null,
): Promise<RunsServer> {
  await Promise.all(folders.map(readRun));
  const app = runsApp(folders, pictures);
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
