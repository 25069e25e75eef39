/** The page of an evaluation: one HTML file with its drawings inside. */
import type { Evaluation } from './evaluate-measure.js';
import { CASES_STYLE, caseSections } from './evaluate-report-cases.js';
import { figures, labelFigures } from './evaluate-report-figures.js';
import { MARGIN, path, SIDE, x, y } from './evaluate-report-plot.js';
import { COLOURS, escape, PALETTE } from './page.js';
import type { Measured } from '../evaluate/intervals.js';
import type { Subgroup } from '../evaluate/subgroups.js';
import type { ModelFile } from '../models/model-file.js';

/** A self-contained page of scores, curves, decisions, groups and cases. Everything on it is from the evaluation. */
export function evaluationReport(
  { result, against, subgroups, robustness, exhibits }: Evaluation,
  model: ModelFile,
): string {
  const { suite, metrics, series, patients, notes } = result;
  // Drawn from 0 to 1: errors of numbers have no such scale, R² does.
  const main = 'r2' in metrics ? 'r2' : Object.keys(metrics)[0]!;
  const rows = Object.entries(metrics).map(
    ([name, { value, ci95, n }]) =>
      `<tr><td>${escape(name)}</td><td>${value.toFixed(3)}</td><td>${ci95[0].toFixed(3)} to ${ci95[1].toFixed(3)}</td><td>${n}</td></tr>`,
  );
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Precess: ${escape(suite)}</title><style>
${PALETTE}
body{font:16px/1.5 system-ui,sans-serif;max-width:1080px;margin:2rem auto;padding:0 1rem;color:var(--ink);background:var(--paper)}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse}td,th{padding:.25rem .8rem .25rem 0;text-align:left;border-bottom:1px solid var(--line)}
td{font-variant-numeric:tabular-nums}.figures{display:flex;flex-wrap:wrap;gap:2rem}figure{margin:0}
figcaption{font-size:.9rem;color:var(--soft);max-width:${SIDE}px}svg text{font:12px system-ui,sans-serif;fill:var(--ink)}
.key{white-space:nowrap}
.confusion td,.confusion th{border:1px solid var(--line);padding:.3rem .6rem;text-align:center}${CASES_STYLE}</style></head><body>
<h1>${escape(suite)}</h1>
<p>${series} series of ${patients} patients. Model: ${escape(model.config.size)}, ${model.step} ${model.step === 1 ? 'step' : 'steps'},
${model.provenance.series} series seen in training.${result.judged.kind === 'outcomes' ? ' Every case was predicted by a head that had not seen its patient.' : ''}</p>
${notes.length > 0 ? `<p>Left out: ${escape(notes.join('; '))}.</p>` : ''}
<h2>Scores</h2>
<table><tr><th>score</th><th>value</th><th>95 % interval over patients</th><th>patients</th></tr>${rows.join('')}</table>
${against ? differences(against) : ''}
${figures(result)}${labelFigures(result)}
${subgroups.length > 0 ? groupTables(subgroups, main) : ''}
${robustness ? robustnessCurves(robustness, main) : ''}
${exhibits ? caseSections(exhibits) : ''}
<p>Not for clinical use.</p></body></html>
`;
}

function differences({ result, differences: of }: NonNullable<Evaluation['against']>): string {
  const rows = Object.entries(of).map(
    ([name, { difference, ci95, p, test }]) =>
      `<tr><td>${escape(name)}</td><td>${result.metrics[name]!.value.toFixed(3)}</td><td>${difference.toFixed(3)}</td>` +
      `<td>${ci95[0].toFixed(3)} to ${ci95[1].toFixed(3)}</td><td>${p.toPrecision(2)}</td><td>${test}</td></tr>`,
  );
  return `<h2>Beside the other model</h2>
<table><tr><th>score</th><th>other model</th><th>difference</th><th>95 % interval</th><th>p</th><th>test</th></tr>${rows.join('')}</table>
<p>A difference above 0 says that this model's score is larger. p is two-sided and not corrected for the number of scores.</p>`;
}

/** The first score by group; a group too small for it says why. */
function groupTables(tables: Evaluation['subgroups'], metric: string): string {
  const row = (by: string, { name, n, metrics, tooSmall }: Subgroup, first: boolean): string => {
    const one = metrics?.[metric];
    const bar = one ? interval(one) : `<small>${escape(tooSmall ?? 'no score')}</small>`;
    const value = one
      ? `${one.value.toFixed(3)} (${one.ci95[0].toFixed(3)} to ${one.ci95[1].toFixed(3)})`
      : '';
    return `<tr><td>${first ? escape(by) : ''}</td><td>${escape(groupName(by, name))}</td><td>${n}</td><td>${value}</td><td>${bar}</td></tr>`;
  };
  const rows = tables.flatMap(({ by, groups }) => groups.map((group, n) => row(by, group, n === 0)));
  return `<h2>Groups</h2><table><tr><th>by</th><th>group</th><th>patients</th><th>${escape(metric)}</th><th>0 to 1</th></tr>${rows.join('')}</table>`;
}

/** Sites are hashes: their first letters tell them apart. */
const groupName = (by: string, name: string): string =>
  by === 'site' && name.startsWith('so-') ? `site ${name.slice(3, 9)}` : name;

function interval({ value, ci95 }: Measured): string {
  const at = (v: number): string => (160 * Math.min(1, Math.max(0, v))).toFixed(1);
  return (
    `<svg width="164" height="14" role="img" aria-label="interval"><line x1="0" x2="160" y1="7" y2="7" stroke="var(--line)"/>` +
    `<line x1="${at(ci95[0])}" x2="${at(ci95[1])}" y1="7" y2="7" stroke="${COLOURS[0]}" stroke-width="3"/>` +
    `<circle cx="${at(value)}" cy="7" r="4" fill="${COLOURS[0]}"/></svg>`
  );
}

function robustnessCurves(curves: NonNullable<Evaluation['robustness']>, metric: string): string {
  const figure = ({ name, unit, points }: (typeof curves)[number]): string => {
    const seen = points.flatMap(({ label, metrics }) =>
      metrics[metric] === undefined ? [] : [{ label, one: metrics[metric] }],
    );
    const place = (n: number): number => (seen.length < 2 ? 0.5 : 0.06 + (0.88 * n) / (seen.length - 1));
    const clamp = (v: number): number => Math.min(1, Math.max(0, v));
    const marks = seen.map(
      ({ label, one }, n) =>
        `<line x1="${x(place(n))}" x2="${x(place(n))}" y1="${y(clamp(one.ci95[0]))}" y2="${y(clamp(one.ci95[1]))}" stroke="${COLOURS[0]}"/>` +
        `<circle cx="${x(place(n))}" cy="${y(clamp(one.value))}" r="4" fill="${COLOURS[0]}"/>` +
        `<text x="${x(place(n))}" y="${SIDE - 20}" text-anchor="middle">${escape(label)}</text>`,
    );
    const line = path(
      seen.map(({ one }, n) => ({ x: place(n), y: clamp(one.value) })),
      COLOURS[0],
    );
    const ticks = [0, 0.5, 1].map(
      (t) =>
        `<line x1="${x(0)}" x2="${x(1)}" y1="${y(t)}" y2="${y(t)}" stroke="var(--line)"/>` +
        `<text x="${MARGIN.left - 6}" y="${y(t)}" dy=".35em" text-anchor="end">${t}</text>`,
    );
    return `<figure><svg width="${SIDE}" height="${SIDE}" role="img" aria-label="${escape(metric)} by ${escape(name)}">${ticks.join('')}${line}${marks.join('')}
<text x="${x(0.5)}" y="${SIDE - 4}" text-anchor="middle">${escape(unit)}</text></svg><figcaption>${escape(name)}</figcaption></figure>`;
  };
  return `<h2>Images made worse: ${escape(metric)}</h2><div class="figures">${curves.map(figure).join('')}</div>`;
}
