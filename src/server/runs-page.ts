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
        scales: { x: { time: false } },
        axes: [{}, { size: 62 }],
        series: [
          { label: 'step' },
          ...runs.map((run, n) => ({
            label: run.name,
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
    state.textContent = 'as of ' + new Date().toLocaleTimeString();
  } catch (error) {
    state.textContent = 'no answer: ' + error.message;
  }
  setTimeout(refresh, 3000);
}
refresh();
`;
