/** The part of @huggingface/tokenizers in use; its own declarations omit file endings, which NodeNext cannot follow. */
export declare class Tokenizer {
  constructor(tokenizer: object, config: object);
  encode(text: string): { ids: number[]; tokens: string[]; attention_mask: number[] };
}
