/** The demo's closing page: one HTML file with its pictures inside. */
import type { Retrieval } from '../evaluate/retrieval.js';
import type { StepMetrics } from '../train/loop.js';
import type { SlicePicture } from '../volume/slice.js';
import { escape, image } from './page.js';

export interface DemoHit {
  readonly score: number;
  readonly text: string;
  readonly real: boolean;
  readonly picture: SlicePicture | null;
}

export interface DemoReport {
  readonly series: {
    readonly simulated: number;
    readonly real: number;
    readonly patients: number;
    readonly heldOut: number;
  };
  /** Where the real series are from, with their licences. */
  readonly credits: readonly string[];
  readonly parameters: number;
  readonly stages: readonly { readonly name: string; readonly seconds: number }[];
  readonly gallery: readonly { readonly caption: string; readonly picture: SlicePicture }[];
  readonly pretrain: readonly StepMetrics[];
  readonly align: readonly StepMetrics[];
  readonly retrieval: readonly {
    readonly name: string;
    readonly before: Retrieval;
    readonly after: Retrieval;
  }[];
  readonly queries: readonly { readonly text: string; readonly hits: readonly DemoHit[] }[];
  readonly realSeries: readonly {
    readonly text: string;
    readonly described: string;
    readonly picture: SlicePicture | null;
  }[];
}

const percent = (share: number): string => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

const CHART = { width: 420, height: 190, left: 46, right: 10, top: 12, bottom: 28 } as const;
const COLOURS = ['#0b6e99', '#c2571a', '#3a7d34', '#7a4ba0'] as const;

/** A line chart of named metrics over steps, drawn from the log alone. */
function chart(
  title: string,
  log: readonly StepMetrics[],
  names: readonly string[],
  percentAxis = false,
): string {
  const series = names
    .map((name) => ({
      name,
      points: log.flatMap((m) => (m[name] === undefined ? [] : [[m.step, m[name]] as const])),
    }))
    .filter(({ points }) => points.length > 0);
  if (series.length === 0) return '';
  const values = series.flatMap(({ points }) => points.map(([, v]) => v));
  const steps = series.flatMap(({ points }) => points.map(([s]) => s));
  const [low, high] = percentAxis ? [0, 1] : [Math.min(0, ...values), Math.max(...values) * 1.05];
  const last = Math.max(...steps);
  const { width, height, left, right, top, bottom } = CHART;
  const x = (s: number): number => left + ((s - 1) / Math.max(1, last - 1)) * (width - left - right);
  const y = (v: number): number => top + (1 - (v - low) / (high - low || 1)) * (height - top - bottom);
  const ticks = [0, 0.5, 1].map((t) => low + t * (high - low));
  const axis = ticks
    .map(
      (v) =>
        `<line x1="${left}" x2="${width - right}" y1="${y(v)}" y2="${y(v)}" class="grid"/>` +
        `<text x="${left - 6}" y="${y(v) + 4}" text-anchor="end">${percentAxis ? percent(v) : v.toPrecision(2)}</text>`,
    )
    .join('');
  const lines = series
    .map(({ points }, n) => {
      const path = points.map(([s, v]) => `${x(s).toFixed(1)},${y(v).toFixed(1)}`).join(' ');
      const dots =
        points.length < 8
          ? points
              .map(([s, v]) => `<circle cx="${x(s)}" cy="${y(v)}" r="3" fill="${COLOURS[n % 4]}"/>`)
              .join('')
          : '';
      return `<polyline points="${path}" fill="none" stroke="${COLOURS[n % 4]}" stroke-width="1.8"/>${dots}`;
    })
    .join('');
  const legend = series
    .map(
      ({ name }, n) => `<span style="color:${COLOURS[n % 4]}">● ${escape(name.replace('knn.', ''))}</span>`,
    )
    .join(' ');
  return (
    `<figure><figcaption>${escape(title)} <small>${legend}</small></figcaption>` +
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}">${axis}${lines}` +
    `<text x="${left}" y="${height - 8}">step 1</text><text x="${width - right}" y="${height - 8}" text-anchor="end">${last}</text></svg></figure>`
  );
}

function retrievalTable(rows: DemoReport['retrieval']): string {
  const ks = [1, 5, 10];
  const cells = (r: Readonly<Record<number, number>>): string =>
    ks.map((k) => `<td>${percent(r[k]!)}</td>`).join('');
  return (
    `<table><thead><tr><th></th><th></th>${ks.map((k) => `<th>recall@${k}</th>`).join('')}<th>median rank</th></tr></thead><tbody>` +
    rows
      .map(
        ({ name, before, after }) =>
          `<tr><th rowspan="3">${escape(name)}<br><small>${after.queries} queries, ${after.candidates} candidates</small></th>` +
          `<td>chance</td>${cells(after.chance)}<td></td></tr>` +
          `<tr><td>before training</td>${cells(before.recall)}<td>${before.medianRank}</td></tr>` +
          `<tr class="after"><td>after training</td>${cells(after.recall)}<td>${after.medianRank}</td></tr>`,
      )
      .join('') +
    '</tbody></table>'
  );
}

const STYLE = `
:root{--ink:#1b2328;--soft:#5b676e;--line:#d8dfe3;--paper:#fbfcfc;--accent:#0b6e99}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1020px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line);padding-bottom:.2rem}
p,small{color:var(--soft)}table{border-collapse:collapse}th,td{padding:.25rem .8rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
td{font-variant-numeric:tabular-nums}.after td{font-weight:600;color:var(--accent)}
.row{display:flex;flex-wrap:wrap;gap:.8rem}figure{margin:0}figcaption{font-size:.85rem}
.card{width:150px;font-size:.78rem;line-height:1.3}.card img{width:150px;height:150px;background:#000;border-radius:4px;display:block;margin-bottom:.25rem}
.real{color:#c2571a;font-weight:600}svg{width:420px;height:190px}svg text{font-size:10px;fill:var(--soft)}.grid{stroke:var(--line)}
`;

/** The whole page as one self-contained HTML document. Everything in it was measured by the run that it reports. */
export function demoReport(r: DemoReport): string {
  const total = r.stages.reduce((sum, { seconds }) => sum + seconds, 0);
  const card = (picture: SlicePicture | null, caption: string): string =>
    `<div class="card">${picture ? image(picture, caption) : ''}${caption}</div>`;
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Precess demo</title><style>${STYLE}</style></head><body>
<h1>Precess demo</h1>
<p>${r.series.simulated} simulated series of ${r.series.patients} patients and ${r.series.real} real series were read from DICOM and NIfTI,
de-identified and stored. A 3D image encoder and a text encoder (${(r.parameters / 1e6).toFixed(1)} million parameters together)
were trained on the simulated patients, less ${r.series.heldOut} series of held-out patients, in ${Math.round(total)} s on this machine, all steps included.
Minutes of training on simulated anatomy show that the system works; what comes of them is not a model for any other use.</p>
<h2>Time</h2><table><tbody>${r.stages.map(({ name, seconds }) => `<tr><td>${escape(name)}</td><td>${seconds.toFixed(1)} s</td></tr>`).join('')}</tbody></table>
<h2>What it was trained on</h2><div class="row">${r.gallery.map(({ caption, picture }) => card(picture, escape(caption))).join('')}</div>
<h2>Training</h2><div class="row">
${chart('Pretraining loss', r.pretrain, ['loss', 'dino', 'ibot'])}
${chart('kNN on held-out patients', [...r.pretrain], ['knn.bodyPart', 'knn.contrast', 'knn.plane'], true)}
${chart('Alignment loss', r.align, ['loss'])}</div>
<h2>Retrieval on patients never trained on</h2>${retrievalTable(r.retrieval)}
<h2>Queries</h2>${r.queries
    .map(
      ({ text, hits }) =>
        `<h3>“${escape(text)}”</h3><div class="row">${hits
          .map((hit) =>
            card(
              hit.picture,
              `${hit.score.toFixed(2)} ${hit.real ? '<span class="real">real</span> ' : ''}${escape(hit.text)}`,
            ),
          )
          .join('')}</div>`,
    )
    .join('')}
${
  r.realSeries.length === 0
    ? ''
    : `<h2>Real series, never trained on</h2><div class="row">${r.realSeries
        .map(({ text, described, picture }) =>
          card(picture, `${escape(text)}<br><small>described as: ${escape(described)}</small>`),
        )
        .join('')}</div>`
}
<p>Real series are from ${escape(r.credits.join(', '))}.</p>
<p>Not for clinical use.</p></body></html>
`;
}
