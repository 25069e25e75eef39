/** What the self-contained HTML pages share. */
import { encode } from 'fast-png';
import type { SlicePicture } from '../volume/slice.js';

/** Text that stands for itself in HTML, in attributes too. */
export const escape = (text: string): string => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** A picture as an image element with its PNG inside. */
export function image({ width, height, data }: SlicePicture, alt: string): string {
  const png = encode({ width, height, data, channels: 1, depth: 8 });
  return `<img src="data:image/png;base64,${Buffer.from(png).toString('base64')}" alt="${escape(alt)}" width="${width}" height="${height}">`;
}

/** Categorical colours, of which {@link PALETTE} defines one set for light pages and one for dark ones. */
export const COLOURS = [
  'var(--c0)',
  'var(--c1)',
  'var(--c2)',
  'var(--c3)',
  'var(--c4)',
  'var(--c5)',
  'var(--c6)',
  'var(--c7)',
] as const;

const variables = (names: readonly string[], values: string): string =>
  values
    .split(' ')
    .map((value, n) => `--${names[n]!}:${value}`)
    .join(';');
const NAMES = ['ink', 'soft', 'line', 'paper', 'good', 'bad', ...COLOURS.map((_, n) => `c${n}`)];

/** CSS variables for text, lines, paper and {@link COLOURS}, by what the reader's system prefers. */
export const PALETTE =
  `:root{color-scheme:light dark;${variables(
    NAMES,
    '#1a202c #556270 #dbe2ea #ffffff #2b7a3d #c0392b #0b6e99 #c2571a #3a7d34 #7a4ba0 #9a7b1d #b03060 #4a5568 #2a9d8f',
  )}}\n` +
  `@media (prefers-color-scheme:dark){:root{${variables(
    NAMES,
    '#e6eaef #9aa7b4 #36414d #14191f #5cc27a #f07167 #4fb3dc #f0925a #7cc576 #b98fe0 #d6b656 #ea7aa4 #a3b1c2 #5fd3c4',
  )}}}`;
