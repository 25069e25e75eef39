/** The part of an evaluation's page that shows single cases: worst ones, what was found for some, and the map. */
import type { Exhibits, Shown } from './evaluate-exhibits.js';
import { COLOURS, escape, image } from './page.js';

/** Of quantities, from low to high. */
const SCALE = ['#3b5bdb', '#1c8fb5', '#2f9e6e', '#c29a12', '#d9480f'] as const;
const OTHER = 'var(--soft)';

/** Styles of these sections. */
export const CASES_STYLE = `
.cards{display:flex;flex-wrap:wrap;gap:.9rem}.card{width:118px;font-size:.78rem;line-height:1.3;overflow-wrap:anywhere}
.card img{display:block;background:#000;border:3px solid transparent;border-radius:4px;margin-bottom:.2rem}
.card.right img{border-color:var(--good)}.card.wrong img{border-color:var(--bad)}.card small{color:var(--soft);display:block;font-size:.62rem;white-space:nowrap}
.right b{color:var(--good)}.wrong b{color:var(--bad)}
.says{display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:3;overflow:hidden}
.query{display:flex;gap:.9rem;padding:.7rem 0;border-top:1px solid var(--line)}
.query>.card{border-right:1px solid var(--line);padding-right:.9rem}.query .cards{flex:1}
.map{max-width:100%;height:auto;border:1px solid var(--line);border-radius:4px}.legend>span{white-space:nowrap;margin-right:1rem}
`;

type Kind = Exhibits['kind'];

/** The sections as HTML. */
export function caseSections({ map, queries, worst, kind }: Exhibits): string {
  return (
    (map ? mapSection(map, kind) : '') +
    (queries.length > 0 ? querySection(queries, kind) : '') +
    (worst.length > 0 ? worstSection(worst, kind) : '')
  );
}

/** `one` of what is told of classes (sets of labels among them), quantities, texts and images. */
const by = <T>(kind: Kind, one: { classes: T; number: T; texts: T; images: T }): T =>
  kind === 'number' || kind === 'texts' || kind === 'images' ? one[kind] : one.classes;

function card({ id, picture }: Shown, lines: readonly string[], mark: boolean | null = null): string {
  const kind = mark === null ? '' : mark ? ' right' : ' wrong';
  return `<div class="card${kind}">${image(picture, `slice of ${id}`)}${lines.join('')}<small>${escape(id)}</small></div>`;
}

/** Texts may be reports: what is shown of one ends somewhere. */
const LONGEST = 160;
const says = (text: string): string =>
  `<div class="says">${escape(text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text)}</div>`;

function querySection(queries: Exhibits['queries'], kind: Kind): string {
  const explain = by(kind, {
    classes:
      'Left: series drawn at random, of each class in turn. Beside each, the series of other patients with the most similar features (cosine); right are those of the same class.',
    number:
      'Left: series drawn at random. Beside each, the series of other patients with the most similar features (cosine), with their true values.',
    texts:
      'Left: series drawn at random, of each body part in turn, whose text was asked for. Beside each, the images nearest to the text (cosine); right are those of which all that it says is true.',
    images:
      'Left: series drawn at random, of each body part and contrast in turn. Beside each, the series of other patients nearest to it (cosine); right are those of the same body part and contrast.',
  });
  const rows = queries.map((query) => {
    const hits = query.hits.map((hit) => {
      const mark = hit.right === null ? '' : `<b>${hit.right ? '✓ right' : '✗ wrong'}</b> `;
      return card(hit, [`<div>${mark}${hit.score.toFixed(3)}</div>`, says(hit.says)], hit.right);
    });
    return `<div class="query">${card(query, [says(query.asked)])}<div class="cards">${hits.join('')}</div></div>`;
  });
  return `<h2>What lies nearest</h2><p>${explain}</p>${rows.join('')}`;
}

function worstSection(worst: Exhibits['worst'], kind: Kind): string {
  const [title, explain] = by<[string, string]>(kind, {
    classes: ['Most surely wrong', 'Wrong decisions, those that the head was surest of first.'],
    number: ['Largest errors', 'What was said, and what is true.'],
    texts: ['Hardest to find', 'Series for whose text the first right image came late among all.'],
    images: [
      'Hardest to find for',
      'Series for which the first one of the same body part and contrast came late among those of other patients.',
    ],
  });
  const cards = worst.map((one) => {
    const off = kind === 'labels' ? 'off by' : 'at';
    const told = by(kind, {
      classes: `<div><b>${escape(one.decided)}</b> ${off} ${one.by.toFixed(3)}</div><div>is ${escape(one.truth)}</div>`,
      number: `<div><b>${escape(one.decided)}</b> for ${escape(one.truth)}</div>`,
      texts: `<div>place <b>${one.by}</b></div>${says(one.truth)}`,
      images: `<div>place <b>${one.by}</b></div>${says(one.truth)}`,
    });
    const many = one.count > 1 ? `<div>${one.count} series</div>` : '';
    return card(one, [told, many], by(kind, { classes: false, number: null, texts: null, images: null }));
  });
  return `<h2>${title}</h2><p>${explain}</p><div class="cards">${cards.join('')}</div>`;
}

const MAP = { width: 720, height: 480, margin: 14 } as const;

function mapSection(map: NonNullable<Exhibits['map']>, asked: Kind): string {
  const ordered = asked === 'number';
  const { names, of } = ordered
    ? quantiles(map.map(({ kind }) => Number(kind)))
    : frequent(map.map(({ kind }) => kind));
  const colour = (n: number): string => (ordered ? SCALE[n] : COLOURS[n]) ?? OTHER;
  const place = (value: number, size: number): string =>
    (MAP.margin + value * (size - 2 * MAP.margin)).toFixed(1);
  const radius = map.length > 500 ? 2.5 : 4;
  const points = map.map(({ x, y, right }, n) => {
    const paint =
      right === false
        ? `fill="none" stroke="${colour(of[n]!)}" stroke-width="1.8"`
        : `fill="${colour(of[n]!)}" fill-opacity=".75"`;
    return `<circle cx="${place(x, MAP.width)}" cy="${place(1 - y, MAP.height)}" r="${radius}" ${paint}/>`;
  });
  const legend = names.map(
    ({ name, count }, n) =>
      `<span><span style="color:${colour(n)}">●</span> ${escape(name)} (${count})</span>`,
  );
  const wrong = map.some(({ right }) => right === false)
    ? ' Rings are series that the head took for another class.'
    : '';
  return `<h2>Map</h2><p>${map.length} series, near each other where the model's vectors are alike (UMAP), coloured by
${by(asked, { classes: 'class', number: 'value', texts: 'body part', images: 'body part and contrast' })}.
Only who is near whom means something.${wrong}</p>
<svg class="map" viewBox="0 0 ${MAP.width} ${MAP.height}" width="${MAP.width}" height="${MAP.height}" role="img" aria-label="map of the series">${points.join('')}</svg>
<p class="legend">${legend.join(' ')}</p>`;
}

interface Kinds {
  readonly names: readonly { readonly name: string; readonly count: number }[];
  /** Index into `names` of each point. */
  readonly of: readonly number[];
}

/** The most frequent kinds, one a colour; the rest are one. */
function frequent(kinds: readonly string[]): Kinds {
  const counts = new Map<string, number>();
  for (const kind of kinds) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const sorted = [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
  const own = sorted.slice(0, COLOURS.length).map(([name, count]) => ({ name, count }));
  const rest = sorted.slice(COLOURS.length).reduce((sum, [, count]) => sum + count, 0);
  const index = new Map(own.map(({ name }, n) => [name, n]));
  return {
    names: rest > 0 ? [...own, { name: 'other', count: rest }] : own,
    of: kinds.map((kind) => index.get(kind) ?? own.length),
  };
}

/** Fifths of the values. */
function quantiles(values: readonly number[]): Kinds {
  const sorted = [...values].sort((a, b) => a - b);
  const cuts = [1, 2, 3, 4].map((k) => sorted[Math.floor((k * sorted.length) / 5)]!);
  const of = values.map((value) => cuts.filter((cut) => value >= cut).length);
  const names = [0, 1, 2, 3, 4].map((k) => {
    const inside = sorted.filter((value) => cuts.filter((cut) => value >= cut).length === k);
    const name = inside.length > 0 ? `${inside[0]!} to ${inside.at(-1)!}` : '';
    return { name, count: inside.length };
  });
  return { names, of };
}
