import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { PAD_ID, TextError, TextTokenizer, trainWordPiece } from '../../src/text/tokenizer.js';

const texts = [
  'Axial T2-weighted turbo spin echo of the prostate, 3 T, 3 mm slices.',
  'Sagittal T1-weighted image of the knee.',
  'Axial FLAIR of the brain; white matter lesions.',
  'Axial T2-weighted fast spin echo of the brain.',
];

describe('trainWordPiece', () => {
  it('makes one token of a frequent word and spells an unseen one without [UNK]', () => {
    const tokenizer = new TextTokenizer(trainWordPiece(texts));
    const { vocab } = tokenizer.json.model;
    expect(tokenizer.encode('Axial')).toEqual([vocab['[CLS]'], vocab.axial, vocab['[SEP]']]);
    const spelled = tokenizer.encode('pancreas');
    expect(spelled.length).toBeGreaterThan(3);
    expect(spelled).not.toContain(vocab['[UNK]']);
  });

  it('depends on the texts alone', () => {
    expect(trainWordPiece(texts)).toEqual(trainWordPiece([...texts].reverse()));
  });

  it('stops at the asked size and refuses texts without words', () => {
    expect(Object.keys(trainWordPiece(texts, { vocabSize: 100 }).model.vocab).length).toBe(100);
    expect(() => trainWordPiece(['', '  '])).toThrow(TextError);
  });
});

describe('TextTokenizer', () => {
  it('agrees with the Hugging Face tokenizers library on the same tokenizer.json', () => {
    const fixture = JSON.parse(
      readFileSync(new URL('../fixtures/text/wordpiece.json', import.meta.url), 'utf8'),
    ) as { tokenizer: ReturnType<typeof trainWordPiece>; cases: { text: string; ids: number[] }[] };
    const tokenizer = new TextTokenizer(fixture.tokenizer);
    expect(fixture.cases.length).toBeGreaterThan(5);
    for (const { text, ids } of fixture.cases) expect(tokenizer.encode(text)).toEqual(ids);
  });

  it('pads short texts and cuts long ones before their [SEP]', () => {
    const tokenizer = new TextTokenizer(trainWordPiece(texts));
    const { ids, mask } = tokenizer.encodeBatch(['axial', texts[0]!], 6);
    expect([...mask.subarray(0, 6)]).toEqual([1, 1, 1, 0, 0, 0]);
    expect(ids[3]).toBe(PAD_ID);
    expect(ids[11]).toBe(tokenizer.json.model.vocab['[SEP]']);
  });
});
