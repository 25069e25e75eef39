/** The index holds and shows nothing that its series' rights do not permit, also when rights change after it was made. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CorpusError, ingest, readAudit, type Series, setRights } from '../../src/corpus/index.js';
import { newUid } from '../../src/formats/dicom/index.js';
import { buildIndex, Index } from '../../src/tasks/index-store.js';
import { dicom, folder, image, withCorpus } from '../corpus/made.js';
import { writeAligned } from './aligned.js';

/** A series each of the sources "knee", "spine" and "brain". */
async function made(): Promise<{ corpus: string; model: string; of: Record<string, Series> }> {
  const dir = await folder();
  const [corpus, model] = [join(dir, 'c'), join(dir, 'model.safetensors')];
  const of: Record<string, Series> = {};
  for (const [n, part] of ['knee', 'spine', 'brain'].entries()) {
    const names = { bodyPart: part.toUpperCase(), seriesUid: newUid(part), studyUid: newUid(`st ${part}`) };
    await dicom(join(dir, part), names, image([40, 36, 8], n + 1));
    const { series } = await ingest([join(dir, part)], { corpus });
    of[part] = series[0]!;
  }
  await writeAligned(model);
  return { corpus, model, of };
}

const options = { threads: 1, maxTokens: 64 };
const change = (corpus: string, one: Series, rights: Partial<Series['rights']>): Promise<number> =>
  withCorpus(corpus, (c) => setRights(c, one.source, rights));

/** What is found now, and the texts that are offered. */
async function shown(corpus: string): Promise<{ ids: string[]; texts: string[] }> {
  return withCorpus(corpus, async (c) => {
    const index = await Index.open(c, options);
    try {
      const hits = await index.searchText('knee', { k: 100 });
      const candidates = await index.describe(image(), { k: 1000, ...options });
      return { ids: hits.map(({ id }) => id).sort(), texts: candidates.map(({ text }) => text) };
    } finally {
      await index.close();
    }
  });
}

describe('the index and rights', () => {
  it('leaves out what may not be evaluated, naming it', async () => {
    const { corpus, model, of } = await made();
    await change(corpus, of.spine!, { use: ['train', 'serve'] });
    const said: string[] = [];
    const build = () =>
      withCorpus(corpus, (c) => buildIndex(c, model, { ...options, warn: (line) => said.push(line) }));
    expect(await build()).toMatchObject({ indexed: 2 });
    expect(said).toEqual([
      `index: 1 series are left out because of rights that lack "evaluate": ${of.spine!.id}`,
    ]);
    const { ids, texts } = await shown(corpus);
    expect(ids).toEqual([of.knee!.id, of.brain!.id].sort());
    expect(texts).toContain(of.knee!.text);
    expect(texts).not.toContain(of.spine!.text);
    const { entries } = await readAudit(corpus);
    expect(entries.at(-1)).toMatchObject({ action: 'index', detail: { series: 2 } });
    for (const one of [of.knee!, of.brain!]) await change(corpus, one, { expires: '2001-01-01' });
    await expect(build()).rejects.toThrow(CorpusError);
    await expect(build()).rejects.toThrow(/index: .*those of none of 3 do/);
  });

  it('shows neither images nor texts of rights that ended or were taken back since', async () => {
    const { corpus, model, of } = await made();
    await withCorpus(corpus, (c) => buildIndex(c, model, options));
    const all = Object.values(of);
    const before = await shown(corpus);
    expect(before.ids).toEqual(all.map(({ id }) => id).sort());
    for (const { text } of all) expect(before.texts).toContain(text);
    await change(corpus, of.knee!, { expires: '2001-01-01' });
    await change(corpus, of.spine!, { use: [] });
    const after = await shown(corpus);
    expect(after.ids).toEqual([of.brain!.id]);
    expect(after.texts).toEqual(
      before.texts.filter((text) => text !== of.knee!.text && text !== of.spine!.text),
    );
    await change(corpus, of.knee!, { expires: null });
    expect((await shown(corpus)).ids).toEqual([of.knee!.id, of.brain!.id].sort());
  });
});
