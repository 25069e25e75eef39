/** The page that draws runs: one chart a measure, one line a run, asked for anew every few seconds. */

export const RUNS_HTML = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Precess runs</title>
<link rel="stylesheet" href="/uplot.css">
<link rel="stylesheet" href="/page.css">
</head>
<body>
<header><h1>Runs</h1><ul id="runs"></ul><p id="state" role="status"></p></header>
<main id="charts"></main>
<div id="maps"></div>
<script src="/uplot.js"></script>
<script src="/page.js"></script>
</body>
</html>
`;

export const RUNS_CSS = `
body { margin: 0; font: 14px/1.45 system-ui, sans-serif; color: #1c1e21; background: #f6f7f8; }
header { padding: 14px 20px; background: #fff; border-bottom: 1px solid #dfe2e5; }
h1 { font-size: 18px; margin: 0 0 6px; }
h2 { font-size: 13px; margin: 0 0 4px; }
ul { list-style: none; display: flex; flex-wrap: wrap; gap: 6px 22px; margin: 0; padding: 0; }
li .swatch { display: inline-block; width: 11px; height: 11px; margin-right: 6px; border-radius: 2px; }
li .failed { color: #b42318; display: block; }
#state { margin: 6px 0 0; color: #667; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(400px, 1fr)); gap: 14px; padding: 14px 20px; }
.maps { margin: 0 20px 14px; padding: 10px 12px; background: #fff; border: 1px solid #dfe2e5; border-radius: 6px; }
.maps label { display: flex; gap: 10px; align-items: center; margin: 4px 0 8px; }
.maps input { flex: 1; max-width: 480px; }
.maps .series { display: flex; flex-wrap: wrap; gap: 10px 26px; }
.maps figure { margin: 0; display: flex; flex-wrap: wrap; gap: 6px; max-width: 100%; }
.maps figcaption { width: 100%; color: #667; }
.maps canvas { width: 200px; height: 200px; background: #000; border-radius: 4px; }
section { background: #fff; border: 1px solid #dfe2e5; border-radius: 6px; padding: 10px 12px; min-width: 0; }
`;

export const RUNS_JS = `
const COLOURS = ['#0b6e99', '#c2410c', '#3f7d20', '#7c3aed', '#b8860b', '#be185d', '#0f766e', '#475569'];
const TITLES = {
  loss: 'Loss', 'knn.bodyPart': 'kNN accuracy, body part', 'knn.contrast': 'kNN accuracy, contrast',
  'knn.plane': 'kNN accuracy, plane', tokensPerSecond: 'Tokens a second', waitShare: 'Share of time waiting for data',
  memoryMB: 'Memory, MB', seconds: 'Seconds a step', gradNorm: 'Gradient norm', learningRate: 'Learning rate',
};
const FIRST = ['loss', 'knn.bodyPart', 'knn.contrast', 'knn.plane', 'tokensPerSecond', 'memoryMB', 'waitShare'];
const steps = new Map();
const charts = new Map();

const names = () => {
  const all = new Set();
  for (const list of steps.values()) for (const one of list) for (const name of Object.keys(one)) all.add(name);
  all.delete('step');
  const rank = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  return [...all].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
};

/** One x axis for all runs: every step that any of them has logged this measure at. */
function dataOf(name, runs) {
  const values = runs.map((run) => new Map(steps.get(run.name).filter((one) => one[name] !== undefined).map((one) => [one.step, one[name]])));
  const x = [...new Set(values.flatMap((map) => [...map.keys()]))].sort((a, b) => a - b);
  return [x, ...values.map((map) => x.map((step) => map.get(step) ?? null))];
}

const short = (value) => Number(value.toPrecision(4)).toLocaleString(undefined, { maximumSignificantDigits: 4 });
/** No accuracy is below 0 or above 1. */
const ofShares = (_, low, high) => [Math.max(0, low - 0.02), Math.min(1, high + 0.02)];

function draw(runs) {
  for (const name of names()) {
    const data = dataOf(name, runs);
    let chart = charts.get(name);
    if (!chart) {
      const section = document.createElement('section');
      const title = document.createElement('h2');
      title.textContent = TITLES[name] ?? name;
      section.append(title);
      document.getElementById('charts').append(section);
      chart = new uPlot({
        width: Math.max(320, section.clientWidth - 24),
        height: 210,
        scales: { x: { time: false }, y: name.startsWith('knn.') ? { range: ofShares } : {} },
        // The chart's own numbers have three decimals, which learning rates do not show in.
        axes: [{}, { size: 62, values: (_, ticks) => ticks.map(short) }],
        series: [
          { label: 'step' },
          ...runs.map((run, n) => ({
            label: run.name,
            value: (_, value) => (value === null ? '--' : short(value)),
            stroke: COLOURS[n % COLOURS.length],
            width: 1.5,
            spanGaps: true,
            points: { show: name.startsWith('knn.') },
          })),
        ],
      }, data, section);
      charts.set(name, chart);
    } else chart.setData(data);
  }
}

function list(runs) {
  const items = runs.map((run, n) => {
    const item = document.createElement('li');
    const swatch = document.createElement('span');
    swatch.className = 'swatch';
    swatch.style.background = COLOURS[n % COLOURS.length];
    const last = steps.get(run.name).at(-1);
    item.append(swatch, run.name + (last ? ' · step ' + last.step + ' · loss ' + last.loss.toFixed(3) : ' · no step yet'));
    if (run.failure) {
      const failed = document.createElement('span');
      failed.className = 'failed';
      failed.textContent = 'stopped at step ' + run.failure.step + ': not finite in ' + run.failure.notFinite.join(', ');
      item.append(failed);
    }
    return item;
  });
  document.getElementById('runs').replaceChildren(...items);
}

const maps = new Map();

/** Squares of tokens over the slice: drawn as the slice is, right and anterior at its left. */
function cells(canvas, picture, frame, map, paint) {
  const context = canvas.getContext('2d');
  const [w, h] = [canvas.width, canvas.height];
  context.globalAlpha = 1;
  context.clearRect(0, 0, w, h);
  if (picture) context.drawImage(picture, 0, 0, w, h);
  const scale = w / frame.sideMm;
  for (const cell of map.cells) {
    const [colour, alpha] = paint(cell);
    context.globalAlpha = picture ? alpha : 1;
    context.fillStyle = colour;
    const side = map.patchMm * scale;
    const left = w / 2 - (cell[0] - frame.acrossMm) * scale - side / 2;
    const top = h / 2 - (cell[1] - frame.downMm) * scale - side / 2;
    context.fillRect(left, top, side, side);
  }
}

/** The square around the tokens of a series, where there is no picture that says what to show. */
function around(all) {
  const span = (axis) => {
    const values = all.flatMap((map) => map.cells.map((cell) => cell[axis]));
    return [Math.min(...values), Math.max(...values)];
  };
  const [[a, b], [c, d]] = [span(0), span(1)];
  const side = Math.max(b - a, d - c) + 2 * all[0].patchMm;
  return { acrossMm: (a + b) / 2, downMm: (c + d) / 2, sideMm: side };
}

const pca = (cell) => ['rgb(' + cell.slice(2, 5).join(',') + ')', 0.6];
const heat = (cell) => ['hsl(' + Math.round(50 * cell[5]) + ' 95% ' + Math.round(10 + 45 * cell[5]) + '%)', 0.15 + 0.6 * cell[5]];

async function drawMaps(run) {
  const answer = await fetch('/maps.json?run=' + encodeURIComponent(run.name));
  if (!answer.ok) return;
  const { steps: all, frames } = await answer.json();
  if (all.length === 0) return;
  let view = maps.get(run.name);
  if (!view) {
    const box = document.createElement('div');
    box.className = 'maps';
    const title = document.createElement('h2');
    title.textContent = run.name + ': what the encoder makes of images';
    const label = document.createElement('label');
    const slider = document.createElement('input');
    slider.type = 'range';
    slider.min = 0;
    const said = document.createElement('output');
    label.append('step', slider, said);
    const series = document.createElement('div');
    series.className = 'series';
    box.append(title, label, series);
    document.getElementById('maps').append(box);
    view = { slider, said, series, figures: new Map(), atEnd: true };
    slider.addEventListener('input', () => {
      view.atEnd = Number(slider.value) === view.all.length - 1;
      show(view);
    });
    maps.set(run.name, view);
  }
  view.all = all;
  view.frames = frames;
  for (const { id, plane } of all.at(-1).series) {
    if (view.figures.has(id)) continue;
    const figure = document.createElement('figure');
    const caption = document.createElement('figcaption');
    caption.textContent = id + ', ' + plane + ': principal components of its tokens, attention of the class token';
    const canvases = [0, 1, 2].map(() => {
      const canvas = document.createElement('canvas');
      canvas.width = canvas.height = 400;
      return canvas;
    });
    figure.append(caption, ...canvases);
    view.series.append(figure);
    const entry = { canvases, picture: null };
    view.figures.set(id, entry);
    if (frames[id]) {
      const picture = new Image();
      picture.addEventListener('load', () => { entry.picture = picture; show(view); });
      picture.src = '/slice.png?run=' + encodeURIComponent(run.name) + '&series=' + encodeURIComponent(id);
    } else canvases[0].remove();
  }
  view.slider.max = all.length - 1;
  if (view.atEnd) view.slider.value = all.length - 1;
  show(view);
}

function show({ all, frames, slider, said, figures }) {
  const at = all[Number(slider.value)] ?? all.at(-1);
  said.textContent = at.step;
  for (const map of at.series) {
    const { canvases, picture } = figures.get(map.id) ?? {};
    if (!canvases) continue;
    const frame = frames[map.id] ?? around(all.flatMap((one) => one.series.filter(({ id }) => id === map.id)));
    cells(canvases[0], picture, frame, { cells: [] }, pca);
    cells(canvases[1], picture, frame, map, pca);
    cells(canvases[2], picture, frame, map, heat);
  }
}

async function refresh() {
  const state = document.getElementById('state');
  try {
    const after = Object.fromEntries([...steps].map(([name, known]) => [name, known.at(-1)?.step ?? 0]));
    const answer = await fetch('/runs.json?after=' + encodeURIComponent(JSON.stringify(after)));
    if (!answer.ok) throw new Error(await answer.text());
    const { runs } = await answer.json();
    for (const run of runs) {
      // A resumed run writes steps again.
      const known = (steps.get(run.name) ?? []).filter((one) => one.step <= run.from);
      steps.set(run.name, [...known, ...run.steps]);
    }
    list(runs);
    draw(runs);
    for (const run of runs) await drawMaps(run);
    state.textContent = 'as of ' + new Date().toLocaleTimeString();
  } catch (error) {
    state.textContent = 'no answer: ' + error.message;
  }
  setTimeout(refresh, 3000);
}
refresh();
`;
