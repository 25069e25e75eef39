/** WordPiece: learned from the corpus's own texts, stored as a Hugging Face tokenizer.json, so other tools read it. */
import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';

export class TextError extends Error {
  override readonly name = 'TextError';
}

/** The parts of a Hugging Face tokenizer.json that Precess writes. */
export interface TokenizerJson {
  version: string;
  added_tokens: { id: number; content: string; special: boolean }[];
  normalizer: object;
  pre_tokenizer: object;
  post_processor: object;
  decoder: object;
  model: { type: 'WordPiece'; vocab: Record<string, number> } & Record<string, unknown>;
}

const SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] as const;
export const PAD_ID = 0;

export interface EncodedTexts {
  /** [texts, length], padded with {@link PAD_ID}. */
  ids: Int32Array;
  /** [texts, length] 1 for a token, 0 for padding. */
  mask: Float32Array;
  length: number;
}

/** Turns text into token ids, as the tokenizer.json it was made from says. */
export class TextTokenizer {
  private readonly tokenizer: HfTokenizer;
  readonly vocabSize: number;

  /** @throws TextError when `json` is not a tokenizer that can be used. */
  constructor(readonly json: TokenizerJson) {
    try {
      this.tokenizer = new HfTokenizer(json, {});
      this.vocabSize = Object.keys(json.model.vocab).length;
    } catch (error) {
      throw new TextError(
        `tokenizer: tokenizer.json cannot be used (${error instanceof Error ? error.message : String(error)}); ` +
          'export it again from a Hugging Face fast tokenizer',
      );
    }
  }

  /** Token ids of one text, [CLS] and [SEP] included. */
  encode(text: string): number[] {
    return this.tokenizer.encode(text).ids;
  }

  /** Encodes texts to a fixed length; longer ones are cut, keeping their closing [SEP]. */
  encodeBatch(texts: readonly string[], length: number): EncodedTexts {
    const ids = new Int32Array(texts.length * length).fill(PAD_ID);
    const mask = new Float32Array(texts.length * length);
    texts.forEach((text, row) => {
      let tokens = this.encode(text);
      if (tokens.length > length) tokens = [...tokens.slice(0, length - 1), tokens[tokens.length - 1]!];
      ids.set(tokens, row * length);
      mask.fill(1, row * length, row * length + tokens.length);
    });
    return { ids, mask, length };
  }
}

/**
 * Learns a WordPiece vocabulary: starting from characters, the most frequent neighbouring pair is joined until the
 * vocabulary is full or no pair occurs `minFrequency` times (byte-pair merges, as the Hugging Face WordPiece trainer
 * does; Schuster and Nakajima 2012 for the model). Ties go to the pair first in code point order, so that the same
 * texts always give the same vocabulary.
 * @throws TextError when the texts hold no word.
 */
export function trainWordPiece(
  texts: Iterable<string>,
  { vocabSize = 4096, minFrequency = 2 }: { vocabSize?: number; minFrequency?: number } = {},
): TokenizerJson {
  const words = countWords(texts);
  if (words.size === 0)
    throw new TextError('tokenizer: the texts hold no words; ingest series that have a header or a report');
  const pieces = [...words].map(([word, count]) => ({
    count,
    parts: Array.from(word).map((c, i) => (i === 0 ? c : `##${c}`)),
  }));
  const vocab = new Map<string, number>();
  const add = (token: string): void => {
    if (!vocab.has(token)) vocab.set(token, vocab.size);
  };
  SPECIAL.forEach(add);
  const characters = new Set(pieces.flatMap((p) => p.parts));
  // Every letter and digit is known even if rare, so that an unseen word is spelled rather than lost.
  for (const c of 'abcdefghijklmnopqrstuvwxyz0123456789') characters.add(c).add(`##${c}`);
  [...characters].sort().forEach(add);
  while (vocab.size < vocabSize) {
    const pair = mostFrequentPair(pieces, minFrequency);
    if (!pair) break;
    const [a, b] = pair;
    const joined = a + b.slice(2);
    add(joined);
    for (const p of pieces) {
      if (!p.parts.includes(a)) continue;
      const merged: string[] = [];
      for (let i = 0; i < p.parts.length; i++) {
        if (p.parts[i] === a && p.parts[i + 1] === b) {
          merged.push(joined);
          i++;
        } else merged.push(p.parts[i]!);
      }
      p.parts = merged;
    }
  }
  return bertTokenizer(Object.fromEntries(vocab));
}

function mostFrequentPair(
  pieces: { count: number; parts: string[] }[],
  minFrequency: number,
): [string, string] | null {
  const pairs = new Map<string, number>();
  for (const { count, parts } of pieces)
    for (let i = 0; i + 1 < parts.length; i++) {
      const key = `${parts[i]!} ${parts[i + 1]!}`;
      pairs.set(key, (pairs.get(key) ?? 0) + count);
    }
  let best: string | null = null;
  let bestCount = minFrequency - 1;
  for (const [key, count] of pairs)
    if (count > bestCount || (count === bestCount && best !== null && key < best)) {
      best = key;
      bestCount = count;
    }
  if (best === null) return null;
  const [a, b] = best.split(' ');
  return [a!, b!];
}

/** Lower-cased words and single punctuation marks, as BERT's normaliser and pre-tokeniser cut them. */
function countWords(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) {
    const plain = text
      .normalize('NFD')
      .replace(/\p{Mn}/gu, '')
      .toLowerCase();
    for (const word of plain.match(/[^\s\p{P}\p{S}]+|[\p{P}\p{S}]/gu) ?? [])
      counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return counts;
}

function bertTokenizer(vocab: Record<string, number>): TokenizerJson {
  const special = (content: string): { id: number; content: string; special: boolean } => ({
    id: vocab[content]!,
    content,
    special: true,
  });
  const token = (id: string): object => ({ SpecialToken: { id, type_id: 0 } });
  const named = (id: string): object => ({ id, ids: [vocab[id]], tokens: [id] });
  return {
    version: '1.0',
    added_tokens: SPECIAL.map((content) => ({
      ...special(content),
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    })),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: true,
      lowercase: true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [token('[CLS]'), { Sequence: { id: 'A', type_id: 0 } }, token('[SEP]')],
      pair: [
        token('[CLS]'),
        { Sequence: { id: 'A', type_id: 0 } },
        token('[SEP]'),
        { Sequence: { id: 'B', type_id: 1 } },
      ],
      special_tokens: { '[CLS]': named('[CLS]'), '[SEP]': named('[SEP]') },
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab,
    },
  };
}
