/** Labels by words, and overlap by label. */
import { describe, expect, it } from 'vitest';
import { dice, diceByLabel } from '../../../src/evaluate/overlap.js';
import { labelsNamed } from '../../../src/tasks/segment/prompts.js';

const NAMES = [
  'background',
  'lateral ventricle',
  'third and fourth ventricle',
  'cerebral cortex',
  'cerebellum cortex',
  'brain-stem',
  'CSF',
];

describe('labels by words', () => {
  it('finds all labels whose names hold the words, whatever their number', () => {
    expect(labelsNamed('ventricles', NAMES)).toEqual([1, 2]);
    expect(labelsNamed('the lateral ventricles', NAMES)).toEqual([1]);
    expect(labelsNamed('cortex', NAMES)).toEqual([3, 4]);
    expect(labelsNamed('cerebellar cortex', NAMES)).toEqual([4]);
    expect(labelsNamed('brainstem', NAMES)).toEqual([5]);
    expect(labelsNamed('cerebrospinal fluid', NAMES)).toEqual([6]);
  });

  it('finds labels within a longer phrase', () => {
    expect(labelsNamed('volume of the brain-stem', NAMES)).toEqual([5]);
  });

  it('says what there is where no name fits, and never takes part of a word', () => {
    expect(() => labelsNamed('liver', NAMES)).toThrow(
      /no label of the head is named "liver".*lateral ventricle/,
    );
    expect(() => labelsNamed('tex', NAMES)).toThrow(/no label/);
    expect(() => labelsNamed(' ', NAMES)).toThrow(/--text is empty/);
    expect(() => labelsNamed('background', NAMES)).toThrow(/no label/);
  });
});

it('Dice by label is Dice of each label, NaN where neither map has it', () => {
  const truth = Uint8Array.from({ length: 200 }, (_, n) => (n * n) % 4);
  const predicted = Uint8Array.from({ length: 200 }, (_, n) => (n * 7) % 3);
  const found = diceByLabel(truth, predicted, 6);
  const is = (map: Uint8Array, label: number): Uint8Array => map.map((one) => Number(one === label));
  for (let label = 0; label < 6; label++)
    expect(found[label]).toEqual(dice({ truth: is(truth, label), predicted: is(predicted, label) }));
  expect(found[5]).toBeNaN();
  expect(() => diceByLabel(truth, predicted.subarray(1), 6)).toThrow(/on one grid, got 200 and 199/);
});
