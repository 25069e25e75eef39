/** Rights: how they are given, and that they decide. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  allowed,
  CorpusError,
  DEFAULT_RIGHTS,
  describeRefusals,
  parseRights,
  parseRightsFile,
  requireUse,
  type Rights,
  rightsFor,
  USES,
} from '../../src/corpus/index.js';

const rights = (over: Partial<Rights> = {}): Rights => ({ ...DEFAULT_RIGHTS, licence: 'CC BY 4.0', ...over });
const series = (id: string, over: Partial<Rights> = {}, quarantined: string | null = null) => ({
  id,
  rights: rights(over),
  quarantined,
});
const NOON = new Date('2026-06-15T12:00:00Z');

describe('parseRights', () => {
  it('takes expiry, reference and attribution from their own options', () => {
    const details = { expires: '2028-02-29', reference: 'DUA 12', attribution: 'Site A' };
    expect(parseRights('DUA: site 3:train, evaluate', details)).toEqual({
      licence: 'DUA: site 3',
      use: ['train', 'evaluate'],
      ...details,
    });
  });

  it.each([
    ['2027-02-29', /expires/],
    ['2027-2-9', /expires/],
    ['tomorrow', /expires/],
    ['', /expires/],
  ])('refuses the day %j', (expires, message) => {
    expect(() => parseRights('CC BY:train', { expires })).toThrow(message);
  });

  it('refuses a reference of several lines, which could pass for another entry', () => {
    expect(() => parseRights('CC BY:train', { reference: 'a\nb' })).toThrow(/reference/);
  });
});

describe('parseRightsFile', () => {
  const entry = { licence: 'MIT', use: ['evaluate', 'evaluate'] };
  it('reads one entry, or one by source', () => {
    const whole = rights({ licence: 'MIT' });
    expect(parseRightsFile(JSON.stringify(entry))).toEqual(whole);
    const given = parseRightsFile(
      JSON.stringify({ sources: { spine: entry, 'so-1': { ...entry, use: [] } } }),
    );
    expect(rightsFor(given, { id: 'so-2', name: 'spine' })).toEqual(whole);
    expect(rightsFor(given, { id: 'so-1', name: 'spine' })).toEqual({ ...whole, use: [] });
    expect(rightsFor(given, { id: 'so-3', name: 'knee' })).toBeUndefined();
    expect(rightsFor(whole, { id: 'so-3', name: 'knee' })).toEqual(whole);
    expect(rightsFor(undefined, { id: 'so-3', name: 'knee' })).toBeUndefined();
  });

  it.each(['[]', '{"licence":"MIT"}', '{"licence":"MIT","use":["fly"]}', '{"licence":"MIT","use":[],"x":1}'])(
    'refuses %s',
    (json) => {
      expect(() => parseRightsFile(json)).toThrow(CorpusError);
    },
  );
  it.each(['{', '{"sources":[]}', '{"sources":{"a":{}}}'])('refuses %s', (json) => {
    expect(() => parseRightsFile(json)).toThrow(CorpusError);
  });
});

describe('allowed', () => {
  it('permits by default nothing but evaluation', () => {
    const one = { id: 'se-1', rights: DEFAULT_RIGHTS, quarantined: null };
    expect(USES.filter((use) => allowed([one], use).permitted.length > 0)).toEqual(['evaluate']);
  });

  it('permits a use exactly where it is named, not expired and not quarantined', () => {
    const day = fc.constantFrom('2026-06-14', '2026-06-15', '2026-06-16', null);
    fc.assert(
      fc.property(
        fc.subarray([...USES]),
        day,
        fc.constantFrom(null, 'burnt-in text'),
        (use, expires, held) => {
          const one = series('se-1', { use, expires }, held);
          for (const wanted of USES) {
            const may = use.includes(wanted) && expires !== '2026-06-14' && held === null;
            const { permitted, refused } = allowed([one], wanted, NOON);
            expect(permitted).toEqual(may ? [one] : []);
            expect(refused).toHaveLength(may ? 0 : 1);
          }
        },
      ),
    );
  });

  it('ends with the last second of the last day, UTC', () => {
    const one = [series('se-1', { expires: '2026-06-15' })];
    expect(allowed(one, 'evaluate', new Date('2026-06-15T23:59:59.999Z')).refused).toEqual([]);
    expect(allowed(one, 'evaluate', new Date('2026-06-16T00:00:00.000Z')).refused).toEqual([
      { id: 'se-1', kind: 'expired', reason: 'its rights expired on 2026-06-15' },
    ]);
  });
});

describe('requireUse', () => {
  const some = [
    series('se-1', { use: ['train'] }),
    ...['se-2', 'se-3', 'se-4', 'se-5'].map((id) => series(id)),
    series('se-6', { use: ['train'], expires: '2020-01-01' }),
    series('se-7', { use: ['train'] }, 'burnt-in text'),
  ];

  it('keeps what may be used and names the rest, a few and a count', () => {
    const said: string[] = [];
    const kept = requireUse(some, 'train', { doing: 'pretrain', warn: (line) => said.push(line), now: NOON });
    expect(kept.map(({ id }) => id)).toEqual(['se-1']);
    expect(said).toEqual([
      'pretrain: 4 series are left out because of rights that lack "train": se-2, se-3, se-4 and 1 more',
      'pretrain: 1 series are left out because of rights that have expired: se-6',
      'pretrain: 1 series are left out because of quarantine: se-7',
    ]);
  });

  it('fails when nothing is left, and not when there was nothing', () => {
    expect(() => requireUse(some.slice(1), 'train', { doing: 'pretrain', now: NOON })).toThrow(
      /pretrain: .*"train", but those of none of 6 do .*se-2, se-3, se-4 and 1 more.*corpus rights set/,
    );
    expect(requireUse([], 'train', { doing: 'pretrain' })).toEqual([]);
    expect(describeRefusals([], 'train')).toEqual([]);
  });
});
