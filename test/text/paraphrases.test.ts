/** Paraphrases: deterministic, different, and never claiming more than the facts. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BODY_PARTS } from '../../src/text/body-parts.js';
import { CONTRASTS } from '../../src/text/contrast.js';
import { claimsOf, factsOf, paraphrases } from '../../src/text/paraphrases.js';

const facts = {
  plane: 'axial',
  contrast: 'T2w',
  bodyPart: 'PROSTATE',
  sequence: 'turbo spin echo',
  fatSuppressed: true,
  fieldStrengthT: 3,
  sliceMm: 3,
  threeD: false,
  bValue: null,
  localizer: false,
} as const;

const anyFacts = fc.record({
  plane: fc.constantFrom('axial', 'coronal', 'sagittal', 'oblique'),
  contrast: fc.constantFrom(...CONTRASTS),
  bodyPart: fc.constantFrom('UNKNOWN', ...BODY_PARTS.map(({ code }) => code)),
  sequence: fc.constantFrom(null, 'turbo spin echo', 'gradient echo'),
  fatSuppressed: fc.boolean(),
  fieldStrengthT: fc.constantFrom(null, 1.5, 3),
  sliceMm: fc.constantFrom(null, 0.9, 3),
  threeD: fc.boolean(),
  bValue: fc.constantFrom(null, 800),
  localizer: fc.boolean(),
} as const);

describe('paraphrases', () => {
  it('are the same for a seed, and others for another', () => {
    expect(paraphrases(facts, 8, 1)).toEqual(paraphrases(facts, 8, 1));
    expect(paraphrases(facts, 8, 1)).not.toEqual(paraphrases(facts, 8, 2));
  });

  it('differ from each other', () => {
    const texts = paraphrases(facts, 30, 'se-1').map(({ text }) => text);
    expect(texts).toHaveLength(30);
    expect(new Set(texts).size).toBe(30);
  });

  it('claim nothing that is not so, are whole sentences and name nothing unknown', () => {
    fc.assert(
      fc.property(anyFacts, fc.integer(), (some, seed) => {
        const truth = new Set(claimsOf(some));
        for (const { text, claims } of paraphrases(some, 4, seed)) {
          for (const claim of claims) expect(truth).toContain(claim);
          expect(text).toMatch(/^[A-Z0-9].*\.$/);
          expect(text).not.toMatch(/unknown|undefined|null|NaN| {2}|, ,|of the \./i);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('claim what their words say', () => {
    for (const { text, claims } of paraphrases(facts, 40, 7)) {
      expect(claims.includes('plane axial')).toBe(/axial|transverse/i.test(text));
      expect(claims.includes('contrast T2w')).toBe(/T2/.test(text));
      expect(claims.includes('part PROSTATE')).toBe(/prostate/i.test(text));
      expect(claims.includes('fat suppressed')).toBe(/fat/i.test(text));
      expect(claims.includes('field 3')).toBe(/3 T|3 tesla/.test(text));
      expect(claims.includes('slices 3')).toBe(/3 mm/.test(text));
      expect(claims.includes('sequence turbo spin echo')).toBe(/turbo spin echo/i.test(text));
    }
  });

  it('of a part of the pelvis are true of the pelvis, not the other way round', () => {
    const prostate = new Set(claimsOf(facts));
    const pelvis = new Set(claimsOf({ ...facts, bodyPart: 'PELVIS' }));
    expect(prostate).toContain('part PELVIS');
    expect(pelvis).not.toContain('part PROSTATE');
  });

  it('can be made of a row of the corpus', () => {
    const made = factsOf({
      plane: 'coronal',
      contrast: 'PDw',
      bodyPart: 'KNEE',
      description: 'pd tse fs cor',
      fieldStrengthT: 1.5,
      spacingMm: [0.4, 0.4, 3.3],
    });
    expect(made).toMatchObject({ sequence: 'turbo spin echo', fatSuppressed: true, sliceMm: 3.3 });
  });
});
