/** The page of runs: its routes, what they tell, and whom. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { decode } from 'fast-png';
import type { Series } from '../../src/corpus/series.js';
import { corpusPictures, namesOf, runsApp, serveRuns } from '../../src/server/runs.js';
import type { Volume } from '../../src/volume/volume.js';
import { image } from '../corpus/made.js';

const AFFINE: Volume['affine'] = [
  [4, 0, 0, -40],
  [0, 4, 0, -40],
  [0, 0, 4, 0],
  [0, 0, 0, 1],
];

const dir = mkdtempSync(join(tmpdir(), 'precess-runs-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const folder = join(dir, 'pre');
mkdirSync(folder);
writeFileSync(join(folder, 'config.json'), '{"kind":"pretrain"}');
const log = (steps: readonly number[]): void =>
  writeFileSync(
    join(folder, 'metrics.jsonl'),
    steps.map((step) => `${JSON.stringify({ step, loss: 10 / step })}\n`).join(''),
  );
log([1, 2, 3]);

const at = (path: string): string => `http://127.0.0.1:8765${path}`;
interface Answer {
  runs: { name: string; from: number; steps: { step: number; loss: number }[] }[];
}
const since = async (step: number): Promise<Answer['runs'][0]> => {
  const after = encodeURIComponent(JSON.stringify({ pre: step }));
  const answer = await runsApp([folder]).request(at(`/runs.json?after=${after}`));
  expect(answer.status).toBe(200);
  return ((await answer.json()) as Answer).runs[0]!;
};

describe('the page of runs', () => {
  it('tells what has been logged since, and all again from where a run was taken back to', async () => {
    expect(await since(0)).toMatchObject({
      name: 'pre',
      from: 0,
      steps: [{ step: 1 }, { step: 2 }, { step: 3 }],
    });
    expect(await since(2)).toMatchObject({ from: 2, steps: [{ step: 3, loss: 10 / 3 }] });
    expect((await since(3)).steps).toEqual([]);
    log([1, 2]);
    expect(await since(3)).toMatchObject({ from: 2, steps: [] });
    log([1, 2, 3]);
  });

  it('serves everything it needs itself, and lets nothing else in', async () => {
    const app = runsApp([folder]);
    const page = await (await app.request(at('/'))).text();
    const parts = [...page.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map((found) => found[1]!);
    expect(parts.length).toBe(4);
    for (const part of parts) {
      const answer = await app.request(at(part));
      expect(answer.status, part).toBe(200);
      expect((await answer.text()).length, part).toBeGreaterThan(200);
      expect(answer.headers.get('content-security-policy')).toContain("default-src 'self'");
    }
    expect(page).not.toMatch(/https?:\/\//);
    expect((await app.request('http://elsewhere.example/runs.json')).status).toBe(403);
    expect((await app.request(at('/runs.json?after=nonsense'))).status).toBe(200);
    expect((await app.request(at('/../config.json'))).status).toBe(404);
  });

  it('shows maps of a run, over slices of the corpus only while it has them and they may be looked at', async () => {
    const map = { id: 'se-1', plane: 'axial', patchMm: 16, atMm: 20, cells: [[0, 0, 255, 0, 0, 1]] } as const;
    writeFileSync(join(folder, 'maps.jsonl'), `${JSON.stringify({ step: 2, series: [map] })}\n{"step":`);
    const one = {
      id: 'se-1',
      rights: { licence: 'x', use: ['evaluate'], reference: null, expires: null, attribution: null },
      quarantined: null,
    };
    let held = [one];
    const corpus = {
      list: () => Promise.resolve(held as unknown as Series[]),
      volume: () => Promise.resolve({ ...image([20, 20, 10]), affine: AFFINE }),
    };
    const app = runsApp([folder], corpusPictures(corpus));
    const maps = async (): Promise<unknown> => (await app.request(at('/maps.json?run=pre'))).json();
    const slice = (query: string) => app.request(at(`/slice.png?${query}`));
    const steps = [{ step: 2, series: [map] }];
    const shown = (await maps()) as { steps: unknown; frames: Record<string, { sideMm: number }> };
    expect(shown.steps).toEqual(steps);
    expect(shown.frames['se-1']!.sideMm).toBeGreaterThan(20);
    const picture = await slice('run=pre&series=se-1');
    expect(picture.headers.get('content-type')).toBe('image/png');
    const { width, data } = decode(new Uint8Array(await picture.arrayBuffer()));
    expect(width).toBe(224);
    expect(Math.max(...data)).toBeGreaterThan(150);
    // What lies under no map of these runs is not for this page.
    for (const query of ['run=pre&series=se-2', 'run=other&series=se-1', 'series=se-1'])
      expect((await slice(query)).status, query).toBe(404);
    for (const gone of [[], [{ ...one, rights: { ...one.rights, use: ['train'] } }]]) {
      held = gone;
      expect(await maps()).toEqual({ steps, frames: {} });
      expect((await slice('run=pre&series=se-1')).status).toBe(404);
    }
    expect(await (await runsApp([folder]).request(at('/maps.json?run=pre'))).json()).toEqual({
      steps,
      frames: {},
    });
  });

  it('listens on this machine alone, and says so when the port is taken', async () => {
    const server = await serveRuns([folder], 0);
    try {
      expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
      expect((await fetch(server.url)).status).toBe(200);
      const port = Number(new URL(server.url).port);
      await expect(serveRuns([folder], port)).rejects.toThrow(
        /must be free, but is taken; give another --port/,
      );
    } finally {
      await server.close();
    }
    await expect(fetch(server.url)).rejects.toThrow();
    await expect(serveRuns([join(dir, 'nothing')], 0)).rejects.toThrow(/must be a run folder/);
  });

  it('tells runs of one name apart', () => {
    expect(namesOf(['a/pre', 'b/pre', 'c'])).toEqual(['pre', 'pre (2)', 'c']);
  });
});
