/** Curves, calibration and decisions on the page of an evaluation: of classes, and of each label of several. */
import { calibration, confusion } from '../evaluate/decisions.js';
import { EvaluateError } from '../evaluate/error.js';
import { ofLabel } from '../evaluate/label-scores.js';
import { rocCurve, type CurvePoint } from '../evaluate/ranking.js';
import type { SuiteResult } from '../evaluate/suites.js';
import type { LabelResult } from '../evaluate/task-scores.js';
import { path, plot, x, y } from './evaluate-report-plot.js';
import { COLOURS, escape } from './page.js';

/** Of classes; nothing for labels, quantities and queries. */
export function figures({ judged }: SuiteResult): string {
  if (judged.kind !== 'outcomes' || judged.target.kind === 'labels') return '';
  const { cases: outcomes } = judged;
  const { names } = judged.target;
  const probabilities = outcomes.map(({ prediction }) => prediction.probabilities);
  if (probabilities[0]?.length !== names.length) return '';
  const truth = outcomes.map(({ truth: one }) => one as number);
  const asked = names.length === 2 ? [1] : names.map((_, c) => c);
  const curves = asked.map((c) => ({
    name: names[c]!,
    points: rocCurve(
      truth.map((one) => (one === c ? 1 : 0)),
      probabilities.map((row) => row[c]!),
    ),
  }));
  const decided = outcomes.map(({ prediction }) => prediction.value);
  return `<h2>Curves</h2><div class="figures">
${rocFigure(
  curves.map(({ points }) => points),
  `Receiver operating characteristic, each class against the rest.
${curves.map(({ name }, n) => `<span class="key" style="color:${COLOURS[n % COLOURS.length]!}">${n < COLOURS.length ? '■' : '▨'} ${escape(name)}</span>`).join(' ')}`,
)}
${calibrationFigure(truth, probabilities, 'probability of the likeliest class')}
</div>
<h2>Decisions</h2>
${confusionTable(truth, decided, names)}`;
}

/** Of each label: its scores, its curve, its calibration and its decisions; nothing for other targets. */
export function labelFigures({ judged, labels }: SuiteResult): string {
  if (judged.kind !== 'outcomes' || judged.target.kind !== 'labels') return '';
  const sections = judged.target.names.map((name, c) => {
    const { truth, p, decided } = ofLabel(judged.cases, c);
    const rows = p.map((one) => [1 - one, one]);
    const roc = curveOf(truth, p);
    return `<h3>${escape(name)}</h3><div class="figures">
${roc ? rocFigure([roc], 'Receiver operating characteristic.') : ''}
${calibrationFigure(truth, rows, 'probability of the likelier answer')}
<div>${confusionTable(truth, decided, ['absent', 'present'])}</div></div>`;
  });
  return `${labels ? labelTable(labels) : ''}<h2>Each label</h2>${sections.join('')}`;
}

/** Null for a label that is always or never there. */
function curveOf(truth: readonly number[], p: readonly number[]): CurvePoint[] | null {
  try {
    return rocCurve(truth, p);
  } catch (error) {
    if (!(error instanceof EvaluateError)) throw error;
    return null;
  }
}

function labelTable(labels: readonly LabelResult[]): string {
  const metrics = [...new Set(labels.flatMap(({ metrics: of }) => Object.keys(of)))];
  const rows = labels.map(({ name, metrics: of }) => {
    const cells = metrics.map((metric) => {
      const one = of[metric];
      const text = one
        ? `${one.value.toFixed(3)} <small>(${one.ci95[0].toFixed(3)} to ${one.ci95[1].toFixed(3)})</small>`
        : '';
      return `<td>${text}</td>`;
    });
    return `<tr><td>${escape(name)}</td>${cells.join('')}</tr>`;
  });
  return `<h2>Scores of each label</h2><p>The scores above are the means of these.</p>
<table><tr><th>label</th>${metrics.map((metric) => `<th>${escape(metric)}</th>`).join('')}</tr>${rows.join('')}</table>`;
}

const rocFigure = (curves: readonly (readonly CurvePoint[])[], caption: string): string =>
  `<figure>${plot(
    '1 - specificity',
    'sensitivity',
    curves.map((points, n) => path(points, COLOURS[n % COLOURS.length]!, n >= COLOURS.length)).join(''),
  )}
<figcaption>${caption}</figcaption></figure>`;

function calibrationFigure(
  truth: readonly number[],
  probabilities: readonly ArrayLike<number>[],
  of: string,
): string {
  const circles = calibration(truth, probabilities, 10).map(
    ({ confidence, accuracy, count }) =>
      `<circle cx="${x(confidence)}" cy="${y(accuracy)}" r="${(2 + 10 * Math.sqrt(count / truth.length)).toFixed(1)}" fill="${COLOURS[0]}" fill-opacity=".7"/>`,
  );
  return `<figure>${plot(of, 'share that is right', circles.join(''))}
<figcaption>Calibration: on the line, probabilities mean what they say. A circle's area is its number of cases.</figcaption></figure>`;
}

function confusionTable(
  truth: readonly number[],
  decided: readonly number[],
  names: readonly string[],
): string {
  const counts = confusion(truth, decided, names.length);
  return `<table class="confusion"><tr><th>truth \\ decided</th>${names.map((name) => `<th>${escape(name)}</th>`).join('')}</tr>
${counts.map((row, n) => confusionRow(names[n]!, row)).join('')}</table>`;
}

function confusionRow(name: string, row: readonly number[]): string {
  const total = Math.max(
    1,
    row.reduce((sum, count) => sum + count, 0),
  );
  const cells = row.map(
    (count) => `<td style="background:rgba(11,110,153,${(0.5 * (count / total)).toFixed(2)})">${count}</td>`,
  );
  return `<tr><th>${escape(name)}</th>${cells.join('')}</tr>`;
}
