/** What may be done with a series, and the one place where that is decided. */
import { z } from 'zod';
import { CorpusError } from './error.js';
import type { Series } from './series.js';

export type Rights = Series['rights'];

/**
 * "train": weights may be learnt from the series. "evaluate": it may be looked at, embedded, searched, measured on and
 * copied for use on this machine. "share-weights": what learnt from it may be given away. "serve": it, or what is made
 * of it, may be shown over a network.
 */
export const USES = ['train', 'evaluate', 'share-weights', 'serve'] as const;
export type Use = (typeof USES)[number];

/** Without --rights: nothing is known of the licence, and nothing is permitted but evaluation on this machine. */
export const DEFAULT_RIGHTS: Rights = {
  licence: 'unspecified',
  use: ['evaluate'],
  reference: null,
  expires: null,
  attribution: null,
};

/** A series that may not be used so, and why. */
export interface Refusal {
  readonly id: string;
  readonly kind: 'use' | 'expired' | 'quarantined';
  readonly reason: string;
}

export interface Decision<T> {
  readonly permitted: T[];
  readonly refused: Refusal[];
}

/** What of a row decides. */
export type Governed = Pick<Series, 'id' | 'rights' | 'quarantined'>;

/** Why a series may not be put to a use at a moment; null where it may. Rights end with their last day, UTC. */
export function refusalOf({ id, rights, quarantined }: Governed, use: Use, now = new Date()): Refusal | null {
  const refuse = (kind: Refusal['kind'], reason: string): Refusal => ({ id, kind, reason });
  if (quarantined !== null) return refuse('quarantined', `it is quarantined: ${quarantined}`);
  if (rights.expires !== null && now.toISOString().slice(0, 10) > rights.expires)
    return refuse('expired', `its rights expired on ${rights.expires}`);
  if (!rights.use.includes(use))
    return refuse(
      'use',
      `its rights (${rights.licence}: ${rights.use.join(', ') || 'no use'}) lack "${use}"`,
    );
  return null;
}

/** Parts series into those that may be put to a use and those that may not. */
export function allowed<T extends Governed>(
  series: readonly T[],
  use: Use,
  now: Date = new Date(),
): Decision<T> {
  const permitted: T[] = [];
  const refused: Refusal[] = [];
  for (const one of series) {
    const refusal = refusalOf(one, use, now);
    if (refusal === null) permitted.push(one);
    else refused.push(refusal);
  }
  return { permitted, refused };
}

/** So many ids are named; the rest is a count. */
const NAMED = 3;

/** "412 series are left out, since their rights lack "train": se-… (CC BY: evaluate), se-…, …": a line for each kind of refusal. */
export function describeRefusals(refused: readonly Refusal[], use: Use): string[] {
  const why: Record<Refusal['kind'], string> = {
    use: `rights that lack "${use}"`,
    expired: 'rights that have expired',
    quarantined: 'quarantine',
  };
  return (['use', 'expired', 'quarantined'] as const).flatMap((kind) => {
    const of = refused.filter((one) => one.kind === kind);
    if (of.length === 0) return [];
    const named = of.slice(0, NAMED).map(({ id }) => id);
    const rest = of.length > NAMED ? ` and ${of.length - NAMED} more` : '';
    return [`${of.length} series are left out because of ${why[kind]}: ${named.join(', ')}${rest}`];
  });
}

/**
 * The series that may be put to a use; those that may not are named to `warn`, a few of each kind and a count.
 *
 * @throws CorpusError when series were given and none of them may be used.
 */
export function requireUse<T extends Governed>(
  series: readonly T[],
  use: Use,
  { doing, warn, now }: { doing: string; warn?: (message: string) => void; now?: Date },
): T[] {
  const { permitted, refused } = allowed(series, use, now);
  const lines = describeRefusals(refused, use);
  if (permitted.length === 0 && refused.length > 0)
    throw new CorpusError(
      `${doing}: the rights of a series must permit "${use}", but those of none of ${refused.length} do ` +
        `(${lines.join('; ')}); if a licence or consent permits it, say so with "precess corpus rights set"`,
    );
  for (const line of lines) warn?.(`${doing}: ${line}`);
  return permitted;
}

const day = z.string().refine(isDay, 'must be a day that exists, YYYY-MM-DD');
const line = z
  .string()
  .trim()
  .min(1)
  .max(500)
  // eslint-disable-next-line no-control-regex -- a line break or escape in a ledger would be shown as such
  .regex(/^[^\u0000-\u001f\u007f]*$/, 'must be one line of text');
const rightsSchema = z.strictObject({
  licence: line,
  use: z.array(z.enum(USES)).transform((uses) => [...new Set(uses)]),
  reference: line.nullable().default(null),
  expires: day.nullable().default(null),
  attribution: line.nullable().default(null),
});

function isDay(text: string): boolean {
  const date = new Date(`${text}T00:00:00Z`);
  return (
    /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text)
  );
}

/** The parts of the rights that an option of their own gives. */
export interface RightsDetails {
  readonly expires?: string;
  readonly reference?: string;
  readonly attribution?: string;
}

/**
 * Reads "LICENCE:use,use", for instance "CC BY 4.0:train,evaluate,share-weights,serve". What follows the last colon
 * are the uses.
 *
 * @throws CorpusError for another form, an unknown use, or a day that does not exist.
 */
export function parseRights(text: string, details: RightsDetails = {}): Rights {
  const at = text.lastIndexOf(':');
  const licence = text.slice(0, Math.max(at, 0)).trim();
  const use = text
    .slice(at + 1)
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '');
  const unknown = use.filter((word) => !(USES as readonly string[]).includes(word));
  if (at < 0 || licence === '' || use.length === 0 || unknown.length > 0)
    throw new CorpusError(
      `rights: must be "LICENCE:use,use" with uses of ${USES.join(', ')}, got "${text}"; write for instance ` +
        '"CC BY 4.0:train,evaluate"',
    );
  return checkRights({ licence, use, ...details });
}

/** A value as rights. @throws CorpusError naming the field that is wrong. */
export function checkRights(value: unknown): Rights {
  const parsed = rightsSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new CorpusError(
    `rights: ${issue!.path.join('.') || 'an entry'} is wrong (${issue!.message}); an entry has a "licence", a list ` +
      `"use" of ${USES.join(', ')}, and may have "reference", "expires" (YYYY-MM-DD) and "attribution"`,
  );
}

/** Rights for everything, or by source: a source is named by its folder or file, or by its id (so-…). */
export type GivenRights = Rights | { readonly sources: ReadonlyMap<string, Rights> };

/**
 * Reads a ledger entry in JSON (`{"licence", "use", …}`), or several by source
 * (`{"sources": {"prostate": {"licence", "use", …}, …}}`).
 *
 * @throws CorpusError when it is neither.
 */
export function parseRightsFile(json: string): GivenRights {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new CorpusError(
      `rights: the file must be JSON, but it is not (${error instanceof Error ? error.message : String(error)})`,
      { cause: error },
    );
  }
  if (typeof value !== 'object' || value === null || !('sources' in value)) return checkRights(value);
  const { sources } = value;
  if (typeof sources !== 'object' || sources === null || Array.isArray(sources))
    throw new CorpusError('rights: "sources" must hold an entry by the name of each source');
  return { sources: new Map(Object.entries(sources).map(([name, entry]) => [name, checkRights(entry)])) };
}

/** The rights that were given for a source; undefined where none were. */
export function rightsFor(
  given: GivenRights | undefined,
  source: { readonly id: string; readonly name: string },
): Rights | undefined {
  if (given === undefined) return undefined;
  if (!('sources' in given)) return given;
  return given.sources.get(source.id) ?? given.sources.get(source.name);
}

/**
 * source id → the rights that were given for it; sources for which none were given are not in it.
 *
 * @throws CorpusError when rights were given for a source that there is not.
 */
export function rightsBySource(
  given: GivenRights | undefined,
  sources: readonly { readonly id: string; readonly name: string }[],
): Map<string, Rights> {
  if (given !== undefined && 'sources' in given)
    for (const name of given.sources.keys())
      if (!sources.some((one) => one.id === name || one.name === name))
        throw new CorpusError(
          `rights: each entry by source must name one of the sources ${sources.map((one) => `"${one.name}"`).join(', ')}, ` +
            `got "${name}"; a source is named by the folder or file that is ingested`,
        );
  const rights = new Map<string, Rights>();
  for (const source of sources) {
    const one = rightsFor(given, source);
    if (one !== undefined) rights.set(source.id, one);
  }
  return rights;
}
