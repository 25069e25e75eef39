/** precess search at both levels, by words and by image, through the real command on an index of random weights. */
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { writeAligned } from '../tasks/aligned.js';
import { expectFailure, json, makeCorpus, precess, workFolder } from './command.js';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

interface OneSeries {
  id: string;
  studyId: string;
  text: string;
}
interface Hit {
  id: string;
  score: number;
  rank: number;
  series: OneSeries;
}
let corpus = '';
let all: OneSeries[] = [];

beforeAll(async () => {
  const dir = await workFolder();
  corpus = await makeCorpus(dir, 2);
  const model = join(dir, 'model.safetensors');
  await writeAligned(model);
  await json('index', '--corpus', corpus, '--model', model, '--threads', '1');
  all = (await json<{ series: OneSeries[] }>('corpus', 'ls', '--corpus', corpus)).series;
});

const args = (...more: string[]): string[] => ['search', '--corpus', corpus, '--threads', '1', ...more];
const search = async (...more: string[]): Promise<Hit[]> =>
  (await json<{ hits: Hit[] }>(...args('--k', '100', ...more))).hits;

describe('precess search', () => {
  it('finds a series and its study by the image of the series, named by its id', async () => {
    const one = all.at(-1)!;
    const [first] = await search('--image', one.id);
    expect(first).toMatchObject({ id: one.id, rank: 1, score: expect.closeTo(1, 4) as number });
    const studies = await search('--image', one.id, '--level', 'study');
    expect(studies.map(({ series }) => series.studyId).sort()).toEqual(
      [...new Set(all.map(({ studyId }) => studyId))].sort(),
    );
    // Each study is shown by its series that the search by series has first.
    const order = (await search('--image', one.id)).map(({ id }) => id);
    for (const { id, series } of studies) {
      const own = all.filter(({ studyId }) => studyId === series.studyId).map((s) => order.indexOf(s.id));
      expect(order.indexOf(id)).toBe(Math.min(...own));
    }
  });

  it('takes a study by its id: for studies, for series, and for sentences', async () => {
    // Ids are random, and so is their order: a study of two series, wherever it stands.
    const own = all
      .map(({ studyId }) => all.filter((one) => one.studyId === studyId))
      .find((series) => series.length === 2)!;
    const { studyId } = own[0]!;
    const [first] = await search('--image', studyId, '--level', 'study');
    expect(first).toMatchObject({ rank: 1, score: expect.closeTo(1, 4) as number, series: { studyId } });
    // The vector of a study is the direction of the sum of its series' vectors: s·Σu = |Σu|, so that the cosines of its
    // two series with it are alike.
    const cosines = (await search('--image', studyId)).filter(({ series }) => series.studyId === studyId);
    expect(cosines).toHaveLength(own.length);
    const between = (await search('--image', own[0]!.id)).find(({ id }) => id === own[1]!.id)!.score;
    for (const { score } of cosines) expect(score).toBeCloseTo(Math.sqrt((1 + between) / 2), 3);

    const describe_ = (src: string) =>
      json<{ text: string; candidates: { text: string; score: number }[] }>(
        ...['describe', src, '--corpus', corpus, '--threads', '1', '--k', '500'],
      );
    const [study, ...series] = [
      await describe_(studyId),
      await describe_(own[0]!.id),
      await describe_(own[1]!.id),
    ];
    expect(study.text).toBe(study.candidates[0]!.text);
    const of = (candidates: { text: string; score: number }[]): Map<string, number> =>
      new Map(candidates.map(({ text, score }) => [text, score]));
    const [a, b] = series.map(({ candidates }) => of(candidates));
    // A text's cosine with the study is the mean of those with its series, made longer by 1 / |mean|.
    for (const { text, score } of study.candidates)
      expect(score).toBeCloseTo((a!.get(text)! + b!.get(text)!) / 2 / Math.sqrt((1 + between) / 2), 3);
    expectFailure(
      await precess(...args('--image', 'st-0')),
      1,
      /search: the study must be in the index, got st-0/,
    );
  });

  it('puts the series with the words first in a hybrid search, by text alone or with an image', async () => {
    const { id, text } = all[0]!;
    const [first] = await search('--text', text, '--hybrid', '--where', `id = '${id}'`);
    expect(first!.score).toBeCloseTo(2 / 61, 10);
    const [both] = await search('--text', text, '--image', id, '--hybrid');
    expect(both!.id).toBe(id);
  });

  it('says what is wrong', async () => {
    expectFailure(await precess(...args('--image', 'x', '--hybrid')), 2, /--hybrid needs words/);
    expectFailure(await precess(...args('--image', 'x', '--text', 'y')), 2, /either --text or --image/);
    expectFailure(await precess(...args('--text', 'x', '--level', 'patient')), 2, /series, study/);
    expectFailure(await precess(...args('--text', 'x', '--where', 'organ = 1')), 1, /columns are/);
  });
});
