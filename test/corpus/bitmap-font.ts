/** A 5 × 7 pixel font to burn text into test images, drawn for this purpose. */
import type { Volume } from '../../src/volume/volume.js';

// Rows from the top; '#' is ink.
const GLYPHS: Readonly<Record<string, string>> = {
  A: '.###. #...# #...# ##### #...# #...# #...#',
  D: '####. #...# #...# #...# #...# #...# ####.',
  E: '##### #.... #.... ####. #.... #.... #####',
  H: '#...# #...# #...# ##### #...# #...# #...#',
  J: '..### ...#. ...#. ...#. ...#. #..#. .##..',
  N: '#...# ##..# ##..# #.#.# #..## #..## #...#',
  O: '.###. #...# #...# #...# #...# #...# .###.',
  '0': '.###. #...# #..## #.#.# ##..# #...# .###.',
  '1': '..#.. .##.. ..#.. ..#.. ..#.. ..#.. .###.',
  '2': '.###. #...# ....# ..##. .#... #.... #####',
  '4': '...#. ..##. .#.#. #..#. ##### ...#. ...#.',
  '6': '.###. #.... #.... ####. #...# #...# .###.',
  '9': '.###. #...# #...# .#### ....# ....# .###.',
  ' ': '..... ..... ..... ..... ..... ..... .....',
};

export interface Writing {
  readonly at: readonly [number, number];
  readonly scale: number;
  /** Stored value of the ink. */
  readonly ink: number;
  /** Slices that are written on; all where not given. */
  readonly slices?: readonly number[];
}

/** A copy of the volume with text on its slices, from the pixel `at` to the right and down. */
export function burn(volume: Volume, text: string, { at, scale, ink, slices }: Writing): Volume {
  const [ni, nj, nk] = volume.shape;
  const data = volume.data.slice();
  for (const k of slices ?? Array.from({ length: nk }, (_, n) => n))
    Array.from(text).forEach((letter, n) => {
      GLYPHS[letter]!.split(' ').forEach((row, y) => {
        Array.from(row).forEach((dot, x) => {
          if (dot !== '#') return;
          for (let dy = 0; dy < scale; dy++)
            for (let dx = 0; dx < scale; dx++) {
              const i = at[0] + (6 * n + x) * scale + dx;
              const j = at[1] + y * scale + dy;
              if (i < ni && j < nj) data[i + ni * (j + nj * k)] = ink;
            }
        });
      });
    });
  return { ...volume, data };
}
